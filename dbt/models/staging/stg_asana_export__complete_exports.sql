-- Since when a table holds all there is: what was exported before the last complete export is past.
select workspace_gid, 'tasks' as stream, max(created_at) as since
from {{ ref('stg_asana_export__exports') }}
where is_full and task_count is not null
group by workspace_gid
union all
select workspace_gid, 'messages' as stream, max(created_at) as since
from {{ ref('stg_asana_export__exports') }}
where is_full and message_count is not null
group by workspace_gid
union all
-- Asana has no filter for teams: every export that has them has all.
select workspace_gid, 'teams' as stream, max(created_at) as since
from {{ ref('stg_asana_export__exports') }}
where team_count is not null
group by workspace_gid
union all
select workspace_gid, list_name as stream, max(created_at) as since
from {{ ref('stg_asana_export__exports') }}
where is_full and list_name is not null
group by workspace_gid, list_name
