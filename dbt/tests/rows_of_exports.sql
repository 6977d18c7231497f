-- The newest export of each workspace brought as many rows as its record in `exports` says; so did the newest lists.
-- Where the target keeps no time of the export, only a full one can be counted.
{% set lists = ['workspaces', 'users', 'workspace_memberships', 'projects', 'sections', 'tags', 'custom_fields',
    'portfolios', 'goals', 'time_periods', 'project_templates', 'allocations'] %}
{% set counts = {'tasks': 'task_count', 'messages': 'message_count', 'teams': 'team_count'} %}
with newest as (
    select
        *,
        row_number() over (partition by workspace_gid, kind, list_name order by created_at desc) as place
    from {{ ref('stg_asana_export__exports') }}
    where kind in ('resource', 'list')
),

told as (
    {%- for stream, column in counts.items() %}
    select workspace_gid, '{{ stream }}' as stream, created_at, is_full or '{{ stream }}' = 'teams' as is_full, {{ column }} as told
    from newest
    where place = 1 and kind = 'resource' and {{ column }} is not null
    union all
    {%- endfor %}
    select workspace_gid, list_name, created_at, is_full, lines
    from newest
    where place = 1 and kind = 'list'
),

found as (
    {%- for stream in (counts | list) + lists %}
    select workspace_gid, '{{ stream }}' as stream, exported_at
    from (
        {{ asana_export.current(stream, ['workspace_gid', 'gid'], {'workspace_gid': 'text', 'gid': 'text'}, apply_deletions=false) }}
    ) as {{ stream }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

counted as (
    select
        told.workspace_gid,
        told.stream,
        told.told,
        count(found.stream) as found,
        -- The next export has begun to come in.
        coalesce(max(found.exported_at) > max(told.created_at) + interval '1 second', false) as is_mixed
    from told
    left join found
        on found.workspace_gid = told.workspace_gid
        and found.stream = told.stream
        and coalesce(found.exported_at >= told.created_at, told.is_full)
    where told.stream in ('{{ ((counts | list) + lists) | join("', '") }}')
    group by told.workspace_gid, told.stream, told.told, told.is_full
    having told.is_full or count(found.exported_at) > 0
)

select * from counted where told <> found and not is_mixed
