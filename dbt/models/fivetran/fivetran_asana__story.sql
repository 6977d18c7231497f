{{ config(alias='story') }}

select
    stories.gid as id,
    stories.created_at,
    stories.created_by_gid as created_by_id,
    coalesce(stories.hearted, false) as hearted,
    coalesce(stories.num_hearts, 0) as num_hearts,
    stories.source,
    stories.task_gid as target_id,
    stories.text,
    stories.type,
    {{ asana_export.synced('stories') }} as _fivetran_synced
from {{ ref('stg_asana_export__stories') }} as stories
{{ asana_export.join_synced('stories') }}
where stories.task_gid is not null
