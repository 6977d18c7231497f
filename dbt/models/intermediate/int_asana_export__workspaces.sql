-- One row a workspace: its name, and the time that its tables tell of.
with times as (
    select workspace_gid, max(created_at) as as_of
    from {{ ref('stg_asana_export__exports') }}
    where kind = 'resource'
    group by workspace_gid
),

changes as (
    select workspace_gid, max(modified_at) as as_of
    from {{ ref('stg_asana_export__tasks') }}
    group by workspace_gid
)

select
    coalesce(times.workspace_gid, changes.workspace_gid) as workspace_gid,
    workspaces.name,
    coalesce(times.as_of, changes.as_of) as as_of
from times
full join changes on changes.workspace_gid = times.workspace_gid
left join {{ ref('stg_asana_export__workspaces') }} as workspaces
    on workspaces.gid = coalesce(times.workspace_gid, changes.workspace_gid)
