{{ asana_export.current('tags', ['gid'], {
    'gid': 'text',
    'name': 'text',
    'color': 'text',
    'notes': 'text',
    'created_at': 'timestamp',
    'followers': 'json',
    'permalink_url': 'text',
    'workspace_gid': 'text',
}) }}
