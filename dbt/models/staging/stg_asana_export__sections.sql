{{ asana_export.current('sections', ['gid'], {
    'gid': 'text',
    'name': 'text',
    'created_at': 'timestamp',
    'project_gid': 'text project.gid',
    'project_name': 'text project.name',
    'projects': 'json',
    'workspace_gid': 'text',
}) }}
