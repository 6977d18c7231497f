{{ config(alias='task') }}

select
    tasks.gid as id,
    tasks.assignee_gid as assignee_id,
    coalesce(tasks.completed, false) as completed,
    tasks.completed_at,
    tasks.completed_by_gid as completed_by_id,
    tasks.created_at,
    tasks.due_at,
    cast(tasks.due_on as {{ asana_export.type_of('timestamp') }}) as due_on,
    tasks.modified_at,
    tasks.name,
    tasks.notes,
    coalesce(tasks.liked, false) as liked,
    coalesce(tasks.num_likes, 0) as num_likes,
    tasks.parent_gid as parent_id,
    cast(tasks.start_on as {{ asana_export.type_of('timestamp') }}) as start_on,
    tasks.workspace_gid as workspace_id,
    {{ asana_export.synced('tasks') }} as _fivetran_synced
from {{ ref('stg_asana_export__tasks') }} as tasks
{{ asana_export.join_synced('tasks') }}
