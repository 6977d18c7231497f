{{ config(alias='tag') }}

-- Tags, and those that tasks have. What is no longer there has no row: `_fivetran_deleted` is false, never null.
with named as (
    select
        gid,
        name,
        workspace_gid,
        exported_at,
        row_number() over (
            partition by gid order by case when name is null then 1 else 0 end, task_modified_at desc, name
        ) as place
    from {{ ref('stg_asana_export__task_tags') }}
),

all_tags as (
    select
        coalesce(tags.gid, named.gid) as gid,
        coalesce(tags.name, named.name) as name,
        tags.color,
        tags.created_at,
        tags.notes,
        coalesce(tags.workspace_gid, named.workspace_gid) as workspace_gid,
        coalesce(tags.exported_at, named.exported_at) as exported_at
    from {{ ref('stg_asana_export__tags') }} as tags
    full join (select * from named where place = 1) as named on named.gid = tags.gid
)

select
    all_tags.gid as id,
    all_tags.name,
    all_tags.color,
    all_tags.created_at,
    cast(null as {{ asana_export.type_of('text') }}) as message,
    all_tags.notes,
    all_tags.workspace_gid as workspace_id,
    false as _fivetran_deleted,
    {{ asana_export.synced('all_tags') }} as _fivetran_synced
from all_tags
{{ asana_export.join_synced('all_tags') }}
