{{ asana_export.part('task_tags', 'tags', ['task_gid', 'gid'], {
    'gid': 'text',
    'name': 'text',
}) }}
