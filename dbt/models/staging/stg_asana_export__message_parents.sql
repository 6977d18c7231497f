{{ asana_export.part('message_parents', 'parents', ['message_gid', 'gid'], {
    'gid': 'text',
    'resource_type': 'text',
    'name': 'text',
}) }}
