{{ asana_export.current('deletions', ['gid'], {
    'gid': 'text',
    'resource_type': 'text',
    'is_deleted': 'boolean',
    'changed_at': 'timestamp',
    'actor_gid': 'text',
    'source': 'text',
    'workspace_gid': 'text',
}, apply_deletions=false) }}
