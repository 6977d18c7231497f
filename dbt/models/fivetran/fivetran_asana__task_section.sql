{{ config(alias='task_section') }}

select
    memberships.section_gid as section_id,
    memberships.task_gid as task_id,
    {{ asana_export.synced('memberships') }} as _fivetran_synced
from {{ ref('stg_asana_export__task_memberships') }} as memberships
{{ asana_export.join_synced('memberships') }}
where memberships.section_gid is not null
