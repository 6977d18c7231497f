{{ asana_export.current('workspaces', ['gid'], {
    'gid': 'text',
    'name': 'text',
    'email_domains': 'json',
    'is_organization': 'boolean',
    'workspace_gid': 'text',
}) }}
