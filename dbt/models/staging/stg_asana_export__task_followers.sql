{{ asana_export.part('task_followers', 'followers', ['task_gid', 'gid'], {
    'gid': 'text',
    'name': 'text',
}) }}
