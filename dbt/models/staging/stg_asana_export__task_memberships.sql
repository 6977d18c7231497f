{{ asana_export.moved(asana_export.part('task_memberships', 'memberships', ['task_gid', 'project_gid'], {
    'project_name': 'text project.name',
    'project_gid': 'text project.gid',
    'section_gid': 'text section.gid',
    'section_name': 'text section.name',
})) }}
