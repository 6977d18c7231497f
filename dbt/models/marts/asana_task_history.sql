-- What a task had when: its assignee, due date and completion, and its section in each project, as intervals.
--
-- Stories tell of changes by their resource_subtype. Before the first story there is the old value that it tells of;
-- without a story the present value, since the task was created. The last interval has what the task has now.
with stories as (
    select * from {{ ref('stg_asana_export__stories') }} where task_gid is not null
),

tasks as (
    select tasks.*, workspaces.as_of
    from {{ ref('stg_asana_export__tasks') }} as tasks
    left join {{ ref('int_asana_export__workspaces') }} as workspaces on workspaces.workspace_gid = tasks.workspace_gid
),

changes as (
    select
        task_gid, 'assignee' as field, '' as project_gid, gid as story_gid, created_at, created_by_gid,
        false as is_entry, false as is_exit, false as knows_old,
        cast(null as {{ asana_export.type_of('text') }}) as old_gid,
        cast(null as {{ asana_export.type_of('text') }}) as old_value,
        case when resource_subtype = 'assigned' then assignee_gid end as new_gid,
        case when resource_subtype = 'assigned' then assignee_name end as new_value
    from stories
    where resource_subtype in ('assigned', 'unassigned')
    union all
    select
        task_gid, 'due_on', '', gid, created_at, created_by_gid, false, false, true,
        null, cast(coalesce(old_due_on, cast(old_due_at as date)) as {{ asana_export.type_of('text') }}),
        null, cast(coalesce(new_due_on, cast(new_due_at as date)) as {{ asana_export.type_of('text') }})
    from stories
    where resource_subtype = 'due_date_changed'
    union all
    select
        task_gid, 'completed', '', gid, created_at, created_by_gid, false, false, true,
        null, case resource_subtype when 'marked_complete' then 'false' else 'true' end,
        null, case resource_subtype when 'marked_complete' then 'true' else 'false' end
    from stories
    where resource_subtype in ('marked_complete', 'marked_incomplete')
    union all
    select
        task_gid, 'completed', '', gid, created_at, created_by_gid, false, false, true,
        null, case old_approval_status when 'pending' then 'false' else 'true' end,
        null, case new_approval_status when 'pending' then 'false' else 'true' end
    from stories
    where resource_subtype = 'approval_status_changed'
    union all
    select
        task_gid, 'section', project_gid, gid, created_at, created_by_gid,
        resource_subtype = 'added_to_project', resource_subtype = 'removed_from_project', true,
        old_section_gid, old_section_name, new_section_gid, new_section_name
    from stories
    where
        resource_subtype in ('section_changed', 'added_to_project', 'removed_from_project')
        and project_gid is not null
),

ordered as (
    select
        changes.*,
        row_number() over subject as place,
        lead(created_at) over subject as next_at,
        lead(old_gid) over subject as next_old_gid,
        lead(old_value) over subject as next_old_value
    from changes
    window subject as (partition by task_gid, field, project_gid order by created_at, story_gid)
),

present as (
    select gid as task_gid, 'assignee' as field, '' as project_gid, assignee_gid as value_gid, assignee_name as value from tasks
    union all
    select gid, 'due_on', '', null, cast(coalesce(due_on, cast(due_at as date)) as {{ asana_export.type_of('text') }}) from tasks
    union all
    select gid, 'completed', '', null, case when completed then 'true' else 'false' end from tasks
    union all
    select task_gid, 'section', project_gid, section_gid, section_name from {{ ref('stg_asana_export__task_memberships') }}
),

-- What there was before the first story, or without any.
initial as (
    select
        coalesce(ordered.task_gid, present.task_gid) as task_gid,
        coalesce(ordered.field, present.field) as field,
        coalesce(ordered.project_gid, present.project_gid) as project_gid,
        case when ordered.task_gid is null then present.value_gid else ordered.old_gid end as value_gid,
        case when ordered.task_gid is null then present.value else ordered.old_value end as value,
        ordered.task_gid is null or ordered.knows_old as is_known,
        cast(null as {{ asana_export.type_of('text') }}) as story_gid,
        cast(null as {{ asana_export.type_of('text') }}) as changed_by_gid,
        cast(null as {{ asana_export.type_of('timestamp') }}) as valid_from,
        ordered.created_at as valid_to
    from present
    full join (select * from ordered where place = 1) as ordered
        on ordered.task_gid = present.task_gid
        and ordered.field = present.field
        and ordered.project_gid = present.project_gid
    where not coalesce(ordered.is_entry or ordered.is_exit, false)
),

later as (
    select
        ordered.task_gid,
        ordered.field,
        ordered.project_gid,
        case
            when ordered.next_at is null and present.task_gid is not null then present.value_gid
            when ordered.is_entry then ordered.next_old_gid
            else ordered.new_gid
        end as value_gid,
        case
            when ordered.next_at is null and present.task_gid is not null then present.value
            when ordered.is_entry then ordered.next_old_value
            else ordered.new_value
        end as value,
        -- A story says that a task came into a project, not into which section.
        not (
            ordered.is_entry
            and case when ordered.next_at is null then present.task_gid is null else ordered.next_old_gid is null end
        ) as is_known,
        ordered.story_gid,
        ordered.created_by_gid as changed_by_gid,
        ordered.created_at as valid_from,
        ordered.next_at as valid_to,
        -- A task may have left a project without a story that says so.
        ordered.next_at is null and present.task_gid is null as has_left
    from ordered
    left join present
        on present.task_gid = ordered.task_gid
        and present.field = ordered.field
        and present.project_gid = ordered.project_gid
    where not ordered.is_exit
),

intervals as (
    select initial.*, false as has_left from initial
    union all
    select * from later
),

dated as (
    select
        intervals.task_gid,
        tasks.workspace_gid,
        intervals.field,
        nullif(intervals.project_gid, '') as project_gid,
        intervals.value_gid,
        intervals.value,
        intervals.is_known,
        coalesce(intervals.valid_from, tasks.created_at) as valid_from,
        case when intervals.has_left then tasks.as_of else intervals.valid_to end as valid_to,
        intervals.story_gid,
        intervals.changed_by_gid,
        tasks.as_of
    from intervals
    inner join tasks on tasks.gid = intervals.task_gid
)

select
    task_gid || '-' || field || coalesce('-' || project_gid, '') || coalesce('-' || story_gid, '') as interval_key,
    task_gid,
    workspace_gid,
    field,
    project_gid,
    value_gid,
    value,
    is_known,
    valid_from,
    valid_to,
    valid_to is null as is_current,
    {{ asana_export.days_between('valid_from', 'coalesce(valid_to, as_of)') }} as days,
    story_gid,
    changed_by_gid
from dated
where valid_to is null or valid_to > valid_from
