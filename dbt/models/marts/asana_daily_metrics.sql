-- One row a day (UTC) and scope: a workspace, a team or a project. In each scope a task counts once.
with scoped as (
    select workspace_gid, 'workspace' as scope, workspace_gid as scope_gid, task_gid
    from {{ ref('asana_tasks') }}
    union all
    select workspace_gid, 'project' as scope, project_gid as scope_gid, task_gid
    from {{ ref('stg_asana_export__task_memberships') }}
    union all
    select distinct memberships.workspace_gid, 'team' as scope, projects.team_gid as scope_gid, memberships.task_gid
    from {{ ref('stg_asana_export__task_memberships') }} as memberships
    inner join {{ ref('int_asana_export__projects') }} as projects on projects.project_gid = memberships.project_gid
    where projects.team_gid is not null
),

changes as (
    select
        scoped.workspace_gid, scoped.scope, scoped.scope_gid,
        cast(tasks.created_at as date) as day, 1 as created, 0 as completed
    from scoped
    inner join {{ ref('asana_tasks') }} as tasks on tasks.task_gid = scoped.task_gid
    union all
    select
        scoped.workspace_gid, scoped.scope, scoped.scope_gid,
        cast(coalesce(tasks.completed_at, tasks.modified_at) as date) as day, 0 as created, 1 as completed
    from scoped
    inner join {{ ref('asana_tasks') }} as tasks on tasks.task_gid = scoped.task_gid
    where tasks.is_completed
),

by_day as (
    select workspace_gid, scope, scope_gid, day, sum(created) as created, sum(completed) as completed
    from changes
    where day is not null
    group by workspace_gid, scope, scope_gid, day
),

-- From the first task on until today, or until all tasks are completed.
spans as (
    select
        by_day.workspace_gid,
        by_day.scope,
        by_day.scope_gid,
        min(by_day.day) as first_day,
        case
            when sum(by_day.created) > sum(by_day.completed)
                then greatest(max(by_day.day), cast(max(workspaces.as_of) as date))
            else max(by_day.day)
        end as last_day
    from by_day
    left join {{ ref('int_asana_export__workspaces') }} as workspaces on workspaces.workspace_gid = by_day.workspace_gid
    group by by_day.workspace_gid, by_day.scope, by_day.scope_gid
),

counted as (
    select
        spans.workspace_gid,
        spans.scope,
        spans.scope_gid,
        days.day,
        cast(coalesce(by_day.created, 0) as {{ asana_export.type_of('integer') }}) as created,
        cast(coalesce(by_day.completed, 0) as {{ asana_export.type_of('integer') }}) as completed
    from spans
    inner join {{ asana_export.days('(select min(first_day) from spans)', '(select max(last_day) from spans)', 'days') }}
        on days.day between spans.first_day and spans.last_day
    left join by_day
        on by_day.scope = spans.scope
        and by_day.scope_gid = spans.scope_gid
        and by_day.workspace_gid = spans.workspace_gid
        and by_day.day = days.day
),

names as (
    select 'workspace' as scope, workspace_gid as scope_gid, name from {{ ref('int_asana_export__workspaces') }}
    union all
    select 'project', project_gid, name from {{ ref('int_asana_export__projects') }}
    union all
    select 'team', team_gid, max(team_name) from {{ ref('int_asana_export__projects') }} where team_gid is not null group by team_gid
)

select
    counted.scope || '-' || counted.scope_gid || '-' || cast(counted.day as {{ asana_export.type_of('text') }}) as metric_key,
    counted.workspace_gid,
    counted.scope,
    counted.scope_gid,
    names.name as scope_name,
    counted.day,
    counted.created,
    counted.completed,
    cast(
        sum(counted.created - counted.completed) over (
            partition by counted.workspace_gid, counted.scope, counted.scope_gid
            order by counted.day
            rows between unbounded preceding and current row
        ) as {{ asana_export.type_of('integer') }}
    ) as open_tasks
from counted
left join names on names.scope = counted.scope and names.scope_gid = counted.scope_gid
