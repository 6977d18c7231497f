-- One row for each user of a workspace who is listed, or whom something names.
with tasks as (
    select
        workspace_gid,
        assignee_gid as user_gid,
        count(*) as assigned_count,
        count(case when not is_completed then 1 end) as open_count,
        count(case when is_completed then 1 end) as completed_count,
        count(case when is_overdue then 1 end) as overdue_count,
        avg(cycle_days) as average_cycle_days,
        min(case when not is_completed then due_on end) as next_due_on
    from {{ ref('asana_tasks') }}
    where assignee_gid is not null
    group by workspace_gid, assignee_gid
),

comments as (
    select workspace_gid, created_by_gid as user_gid, count(*) as comment_count, max(created_at) as last_comment_at
    from {{ ref('stg_asana_export__stories') }}
    where type = 'comment' and created_by_gid is not null
    group by workspace_gid, created_by_gid
),

teams as (
    select workspace_gid, gid as user_gid, count(*) as team_count
    from {{ ref('stg_asana_export__team_members') }}
    group by workspace_gid, gid
),

memberships as (
    select
        workspace_gid,
        user_gid,
        {% for each in ['is_active', 'is_guest', 'is_admin'] -%}
        max(case {{ each }} when true then 1 when false then 0 end) = 1 as {{ each }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('stg_asana_export__workspace_memberships') }}
    group by workspace_gid, user_gid
)

select
    people.workspace_gid || '-' || people.user_gid as user_key,
    people.workspace_gid,
    people.user_gid,
    people.name,
    people.email,
    people.is_listed,
    memberships.is_active,
    memberships.is_guest,
    memberships.is_admin,
    coalesce(teams.team_count, 0) as team_count,
    coalesce(tasks.assigned_count, 0) as assigned_count,
    coalesce(tasks.open_count, 0) as open_count,
    coalesce(tasks.completed_count, 0) as completed_count,
    coalesce(tasks.overdue_count, 0) as overdue_count,
    tasks.average_cycle_days,
    tasks.next_due_on,
    coalesce(comments.comment_count, 0) as comment_count,
    comments.last_comment_at
from {{ ref('int_asana_export__people') }} as people
left join memberships on memberships.workspace_gid = people.workspace_gid and memberships.user_gid = people.user_gid
left join teams on teams.workspace_gid = people.workspace_gid and teams.user_gid = people.user_gid
left join tasks on tasks.workspace_gid = people.workspace_gid and tasks.user_gid = people.user_gid
left join comments on comments.workspace_gid = people.workspace_gid and comments.user_gid = people.user_gid
