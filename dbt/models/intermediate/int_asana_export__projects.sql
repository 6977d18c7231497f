-- One row for each project that is listed, or that tasks or status updates name.
with named as (
    select workspace_gid, project_gid, project_name, task_modified_at as seen_at
    from {{ ref('stg_asana_export__task_memberships') }}
    union all
    select workspace_gid, gid, name, message_modified_at as seen_at
    from {{ ref('stg_asana_export__message_parents') }}
    where resource_type = 'project'
),

best as (
    select
        workspace_gid,
        project_gid,
        project_name,
        row_number() over (
            partition by project_gid
            order by case when project_name is null then 1 else 0 end, seen_at desc nulls last, project_name
        ) as place
    from named
    where project_gid is not null
)

select
    coalesce(listed.gid, best.project_gid) as project_gid,
    coalesce(listed.workspace_gid, best.workspace_gid) as workspace_gid,
    coalesce(listed.name, best.project_name) as name,
    listed.gid is not null as is_listed,
    listed.archived as is_archived,
    listed.color,
    listed.owner_gid,
    listed.owner_name,
    listed.team_gid,
    listed.team_name,
    listed.created_at,
    listed.modified_at,
    listed.start_on,
    listed.due_on,
    listed.completed as is_completed,
    listed.completed_at,
    listed.public as is_public,
    listed.notes,
    listed.current_status_text,
    listed.permalink_url
from {{ ref('stg_asana_export__projects') }} as listed
full join (select * from best where place = 1) as best on best.project_gid = listed.gid
