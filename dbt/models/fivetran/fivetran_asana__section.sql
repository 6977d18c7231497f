{{ config(alias='section') }}

-- Sections, and those that tasks are in.
with named as (
    select
        section_gid as gid,
        section_name as name,
        project_gid,
        workspace_gid,
        exported_at,
        row_number() over (
            partition by section_gid
            order by case when section_name is null then 1 else 0 end, task_modified_at desc, section_name
        ) as place
    from {{ ref('stg_asana_export__task_memberships') }}
    where section_gid is not null
),

all_sections as (
    select
        coalesce(sections.gid, named.gid) as gid,
        coalesce(sections.name, named.name) as name,
        sections.created_at,
        coalesce(sections.project_gid, named.project_gid) as project_gid,
        coalesce(sections.workspace_gid, named.workspace_gid) as workspace_gid,
        coalesce(sections.exported_at, named.exported_at) as exported_at
    from {{ ref('stg_asana_export__sections') }} as sections
    full join (select * from named where place = 1) as named on named.gid = sections.gid
)

select
    all_sections.gid as id,
    all_sections.created_at,
    all_sections.name,
    all_sections.project_gid as project_id,
    {{ asana_export.synced('all_sections') }} as _fivetran_synced
from all_sections
{{ asana_export.join_synced('all_sections') }}
