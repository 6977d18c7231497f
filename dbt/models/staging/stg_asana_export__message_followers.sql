{{ asana_export.part('message_followers', 'followers', ['message_gid', 'gid'], {
    'gid': 'text',
    'name': 'text',
}) }}
