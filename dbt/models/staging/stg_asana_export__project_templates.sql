{{ asana_export.current('project_templates', ['gid'], {
    'gid': 'text',
    'name': 'text',
    'description': 'text',
    'public': 'boolean',
    'owner_gid': 'text owner.gid',
    'owner_name': 'text owner.name',
    'team_gid': 'text team.gid',
    'team_name': 'text team.name',
    'requested_dates': 'json',
    'color': 'text',
    'requested_roles': 'json',
    'workspace_gid': 'text',
}) }}
