-- One row for each project that is listed, or that tasks name.
with tasks as (
    select
        memberships.project_gid,
        count(*) as task_count,
        count(case when not tasks.is_completed then 1 end) as open_count,
        count(case when tasks.is_completed then 1 end) as completed_count,
        count(case when tasks.is_overdue then 1 end) as overdue_count,
        count(case when not tasks.is_completed and tasks.assignee_gid is null then 1 end) as unassigned_count,
        avg(tasks.cycle_days) as average_cycle_days,
        avg(case when not tasks.is_completed then tasks.age_days end) as average_open_days,
        max(tasks.modified_at) as last_modified_at,
        min(case when not tasks.is_completed then tasks.due_on end) as next_due_on
    from {{ ref('stg_asana_export__task_memberships') }} as memberships
    inner join {{ ref('asana_tasks') }} as tasks on tasks.task_gid = memberships.task_gid
    group by memberships.project_gid
),

updates as (
    select
        parents.gid as project_gid,
        messages.status_type,
        messages.title,
        messages.created_at,
        row_number() over (partition by parents.gid order by messages.created_at desc, messages.gid desc) as place
    from {{ ref('stg_asana_export__message_parents') }} as parents
    inner join {{ ref('stg_asana_export__messages') }} as messages on messages.gid = parents.message_gid
    where parents.resource_type = 'project' and messages.resource_subtype = 'status_update'
),

sections as (
    select project_gid, count(*) as section_count from {{ ref('stg_asana_export__sections') }} group by project_gid
)

select
    projects.project_gid,
    projects.workspace_gid,
    projects.name,
    projects.is_listed,
    projects.is_archived,
    projects.owner_gid,
    coalesce(owners.name, projects.owner_name) as owner_name,
    projects.team_gid,
    coalesce(teams.name, projects.team_name) as team_name,
    projects.created_at,
    projects.start_on,
    projects.due_on,
    projects.is_completed,
    projects.completed_at,
    coalesce(tasks.task_count, 0) as task_count,
    coalesce(tasks.open_count, 0) as open_count,
    coalesce(tasks.completed_count, 0) as completed_count,
    coalesce(tasks.overdue_count, 0) as overdue_count,
    coalesce(tasks.unassigned_count, 0) as unassigned_count,
    tasks.average_cycle_days,
    tasks.average_open_days,
    tasks.last_modified_at,
    tasks.next_due_on,
    sections.section_count,
    updates.status_type,
    updates.title as status_title,
    updates.created_at as status_at,
    projects.permalink_url
from {{ ref('int_asana_export__projects') }} as projects
left join {{ ref('int_asana_export__people') }} as owners
    on owners.workspace_gid = projects.workspace_gid and owners.user_gid = projects.owner_gid
left join {{ ref('stg_asana_export__teams') }} as teams on teams.gid = projects.team_gid
left join tasks on tasks.project_gid = projects.project_gid
left join (select * from updates where place = 1) as updates on updates.project_gid = projects.project_gid
left join sections on sections.project_gid = projects.project_gid
