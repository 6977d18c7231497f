{{ config(alias='project_task') }}

select
    memberships.project_gid as project_id,
    memberships.task_gid as task_id,
    {{ asana_export.synced('memberships') }} as _fivetran_synced
from {{ ref('stg_asana_export__task_memberships') }} as memberships
{{ asana_export.join_synced('memberships') }}
