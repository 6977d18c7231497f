-- What is deleted, and when it was. A subtask goes with its parent, whether or not its own deletion is told, unless it was
-- restored. The time of that tells nothing: 30 days after a parent was deleted, its deletion for good is told.
with recursive tasks as (
    {{ asana_export.current('tasks', ['gid'], {
        'gid': 'text',
        'parent_gid': 'text parent.gid',
        'modified_at': 'timestamp',
        'workspace_gid': 'text',
    }, apply_deletions=false) }}
),

told as (
    select * from {{ ref('stg_asana_export__deletions') }}
),

gone as (
    select told.gid, told.changed_at as gone_at
    from told
    where
        told.is_deleted
        and not exists (
            select 1 from tasks
            where tasks.gid = told.gid and coalesce(tasks.exported_at, tasks.modified_at) > told.changed_at
        )
    union
    select tasks.gid, gone.gone_at
    from tasks
    inner join gone on gone.gid = tasks.parent_gid
    where not exists (select 1 from told where told.gid = tasks.gid and not told.is_deleted)
)

select gid, max(gone_at) as gone_at
from gone
group by gid
