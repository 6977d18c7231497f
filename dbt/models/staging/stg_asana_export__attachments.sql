{{ asana_export.part('attachments', 'attachments', ['gid'], {
    'gid': 'text',
    'name': 'text',
    'resource_subtype': 'text',
    'created_at': 'timestamp',
    'permanent_url': 'text',
    'host': 'text',
    'parent_gid': 'text parent.gid',
    'parent_name': 'text parent.name',
    'size': 'integer',
    'connected_to_app': 'boolean',
}) }}
