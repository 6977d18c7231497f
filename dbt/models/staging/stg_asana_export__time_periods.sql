{{ asana_export.current('time_periods', ['gid'], {
    'gid': 'text',
    'end_on': 'date',
    'start_on': 'date',
    'period': 'text',
    'display_name': 'text',
    'parent_gid': 'text parent.gid',
    'workspace_gid': 'text',
}) }}
