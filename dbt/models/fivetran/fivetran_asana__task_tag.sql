{{ config(alias='task_tag') }}

select
    tags.gid as tag_id,
    tags.task_gid as task_id,
    {{ asana_export.synced('tags') }} as _fivetran_synced
from {{ ref('stg_asana_export__task_tags') }} as tags
{{ asana_export.join_synced('tags') }}
