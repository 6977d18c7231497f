-- What is open on the last day is what is open.
with tasks as (
    select workspace_gid, count(case when not is_completed then 1 end) as open_tasks
    from {{ ref('asana_tasks') }}
    where created_at is not null
    group by workspace_gid
),

metrics as (
    select
        workspace_gid,
        open_tasks,
        row_number() over (partition by workspace_gid order by day desc) as place
    from {{ ref('asana_daily_metrics') }}
    where scope = 'workspace'
)

select tasks.workspace_gid, tasks.open_tasks, metrics.open_tasks as of_the_metrics
from tasks
left join metrics on metrics.workspace_gid = tasks.workspace_gid and metrics.place = 1
where metrics.open_tasks is distinct from tasks.open_tasks
