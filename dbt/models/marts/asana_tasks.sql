-- One row a task, subtasks too.
with workspaces as (
    select * from {{ ref('int_asana_export__workspaces') }}
),

people as (
    select * from {{ ref('int_asana_export__people') }}
),

memberships as (
    select
        memberships.task_gid,
        count(*) as project_count,
        min(memberships.project_gid) as project_gid,
        string_agg(projects.name, ', ' order by memberships.project_gid) as project_names,
        string_agg(memberships.section_name, ', ' order by memberships.project_gid) as section_names
    from {{ ref('stg_asana_export__task_memberships') }} as memberships
    inner join {{ ref('int_asana_export__projects') }} as projects on projects.project_gid = memberships.project_gid
    group by memberships.task_gid
),

tags as (
    select task_gid, string_agg(name, ', ' order by gid) as tag_names
    from {{ ref('stg_asana_export__task_tags') }}
    group by task_gid
),

followers as (
    select task_gid, count(*) as follower_count from {{ ref('stg_asana_export__task_followers') }} group by task_gid
),

attachments as (
    select task_gid, count(*) as attachment_count
    from {{ ref('stg_asana_export__attachments') }}
    where task_gid is not null
    group by task_gid
),

subtasks as (
    select
        parent_gid as task_gid,
        count(*) as subtask_count,
        count(case when not completed then 1 end) as open_subtask_count
    from {{ ref('stg_asana_export__tasks') }}
    where parent_gid is not null
    group by parent_gid
),

stories as (
    select
        stories.task_gid,
        count(case when stories.type = 'comment' then 1 end) as comment_count,
        min(case when stories.resource_subtype = 'assigned' then stories.created_at end) as first_assigned_at
    from {{ ref('stg_asana_export__stories') }} as stories
    where stories.task_gid is not null
    group by stories.task_gid
),

tasks as (
    select
        tasks.*,
        workspaces.as_of,
        coalesce(tasks.completed, false) as is_completed,
        case when tasks.completed then coalesce(tasks.completed_at, tasks.modified_at) end as ended_at
    from {{ ref('stg_asana_export__tasks') }} as tasks
    left join workspaces on workspaces.workspace_gid = tasks.workspace_gid
),

timed as (
    select
        tasks.*,
        stories.comment_count,
        -- Work begins when somebody first has the task; who completes a task before that has begun when it was created.
        case
            when stories.first_assigned_at is null or stories.first_assigned_at > tasks.ended_at then tasks.created_at
            else stories.first_assigned_at
        end as started_at,
        coalesce(tasks.due_at, tasks.due_on + interval '1 day') as late_at
    from tasks
    left join stories on stories.task_gid = tasks.gid
)

select
    timed.gid as task_gid,
    timed.workspace_gid,
    timed.name,
    timed.resource_subtype,
    timed.approval_status,
    timed.parent_gid,
    timed.parent_gid is not null as is_subtask,
    timed.assignee_gid,
    coalesce(assignees.name, timed.assignee_name) as assignee_name,
    timed.is_completed,
    timed.completed_at,
    timed.completed_by_gid,
    coalesce(completers.name, timed.completed_by_name) as completed_by_name,
    timed.created_at,
    timed.modified_at,
    timed.start_on,
    timed.due_on,
    timed.due_at,
    coalesce(memberships.project_count, 0) as project_count,
    memberships.project_gid,
    memberships.project_names,
    memberships.section_names,
    tags.tag_names,
    coalesce(followers.follower_count, 0) as follower_count,
    coalesce(timed.comment_count, 0) as comment_count,
    coalesce(attachments.attachment_count, 0) as attachment_count,
    coalesce(timed.num_likes, 0) as like_count,
    coalesce(subtasks.subtask_count, 0) as subtask_count,
    coalesce(subtasks.open_subtask_count, 0) as open_subtask_count,
    timed.actual_time_minutes,
    timed.started_at,
    {{ asana_export.days_between('timed.created_at', 'coalesce(timed.ended_at, timed.as_of)') }} as age_days,
    case when timed.is_completed then {{ asana_export.days_between('timed.started_at', 'timed.ended_at') }} end as cycle_days,
    coalesce(not timed.is_completed and timed.late_at <= timed.as_of, false) as is_overdue,
    coalesce(timed.is_completed and timed.late_at <= timed.ended_at, false) as is_late,
    case
        when timed.late_at <= coalesce(timed.ended_at, timed.as_of)
            then {{ asana_export.days_between('timed.late_at', 'coalesce(timed.ended_at, timed.as_of)') }}
    end as days_late,
    timed.permalink_url,
    timed.as_of
from timed
left join people as assignees
    on assignees.workspace_gid = timed.workspace_gid and assignees.user_gid = timed.assignee_gid
left join people as completers
    on completers.workspace_gid = timed.workspace_gid and completers.user_gid = timed.completed_by_gid
left join memberships on memberships.task_gid = timed.gid
left join tags on tags.task_gid = timed.gid
left join followers on followers.task_gid = timed.gid
left join attachments on attachments.task_gid = timed.gid
left join subtasks on subtasks.task_gid = timed.gid
