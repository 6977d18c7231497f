{{ asana_export.current('users', ['workspace_gid', 'gid'], {
    'gid': 'text',
    'name': 'text',
    'email': 'text',
    'workspaces': 'json',
    'custom_fields': 'json',
    'workspace_gid': 'text',
}) }}
