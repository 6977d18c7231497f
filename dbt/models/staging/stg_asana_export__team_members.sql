{{ asana_export.part('team_members', 'members', ['team_gid', 'gid'], {
    'gid': 'text',
    'name': 'text',
    'email': 'text',
    'workspaces': 'json',
    'custom_fields': 'json',
}) }}
