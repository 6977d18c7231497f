{{ config(alias='project') }}

select
    projects.project_gid as id,
    coalesce(projects.is_archived, false) as archived,
    projects.color,
    projects.created_at,
    projects.current_status_text as current_status,
    cast(projects.due_on as {{ asana_export.type_of('timestamp') }}) as due_date,
    projects.modified_at,
    projects.name,
    projects.notes,
    projects.owner_gid as owner_id,
    projects.is_public as public,
    projects.team_gid as team_id,
    projects.workspace_gid as workspace_id,
    false as _fivetran_deleted,
    workspaces.as_of as _fivetran_synced
from {{ ref('int_asana_export__projects') }} as projects
{{ asana_export.join_synced('projects') }}
