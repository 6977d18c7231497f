{{ asana_export.part('task_likes', 'likes', ['task_gid', 'gid'], {
    'gid': 'text',
    'user_gid': 'text user.gid',
    'user_name': 'text user.name',
}) }}
