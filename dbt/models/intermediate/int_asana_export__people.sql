-- One row for each user of a workspace who is listed, or whom something names.
with named as (
    select workspace_gid, gid, name, email, 1 as source, exported_at as seen_at
    from {{ ref('stg_asana_export__users') }}
    union all
    select workspace_gid, gid, name, email, 2 as source, exported_at as seen_at
    from {{ ref('stg_asana_export__team_members') }}
    union all
    select workspace_gid, gid, name, null as email, 3 as source, task_modified_at as seen_at
    from {{ ref('stg_asana_export__task_followers') }}
    union all
    select workspace_gid, assignee_gid, assignee_name, null as email, 3 as source, modified_at as seen_at
    from {{ ref('stg_asana_export__tasks') }}
    union all
    select workspace_gid, completed_by_gid, completed_by_name, null as email, 3 as source, modified_at as seen_at
    from {{ ref('stg_asana_export__tasks') }}
    union all
    select
        workspace_gid, created_by_gid, created_by_name, null as email, 3 as source,
        coalesce(task_modified_at, message_modified_at) as seen_at
    from {{ ref('stg_asana_export__stories') }}
    union all
    select workspace_gid, created_by_gid, created_by_name, null as email, 3 as source, modified_at as seen_at
    from {{ ref('stg_asana_export__messages') }}
    union all
    select workspace_gid, gid, name, null as email, 3 as source, message_modified_at as seen_at
    from {{ ref('stg_asana_export__message_followers') }}
    union all
    select workspace_gid, owner_gid, owner_name, null as email, 3 as source, modified_at as seen_at
    from {{ ref('stg_asana_export__projects') }}
    union all
    select workspace_gid, user_gid, user_name, null as email, 3 as source, exported_at as seen_at
    from {{ ref('stg_asana_export__workspace_memberships') }}
),

best as (
    select
        workspace_gid,
        gid,
        name,
        max(email) over (partition by workspace_gid, gid) as email,
        min(source) over (partition by workspace_gid, gid) = 1 as is_listed,
        row_number() over (
            partition by workspace_gid, gid
            order by case when name is null then 1 else 0 end, source, seen_at desc nulls last, name
        ) as place
    from named
    where gid is not null
)

select workspace_gid, gid as user_gid, name, email, is_listed
from best
where place = 1
