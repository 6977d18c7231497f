{{ config(alias='task_follower') }}

select
    followers.task_gid as task_id,
    followers.gid as user_id,
    {{ asana_export.synced('followers') }} as _fivetran_synced
from {{ ref('stg_asana_export__task_followers') }} as followers
{{ asana_export.join_synced('followers') }}
