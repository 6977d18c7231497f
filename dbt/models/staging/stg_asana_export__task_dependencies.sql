{{ asana_export.part('task_dependencies', 'dependencies', ['task_gid', 'gid'], {
    'gid': 'text',
}) }}
