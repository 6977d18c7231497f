{{ config(alias='user') }}

-- Every user once, whatever workspaces name them: a story whose author is not here would vanish in an inner join.
with ranked as (
    select
        people.*,
        workspaces.as_of,
        row_number() over (
            partition by people.user_gid
            order by
                case when people.email is null then 1 else 0 end,
                case when people.name is null then 1 else 0 end,
                people.workspace_gid
        ) as place
    from {{ ref('int_asana_export__people') }} as people
    left join {{ ref('int_asana_export__workspaces') }} as workspaces on workspaces.workspace_gid = people.workspace_gid
)

select
    user_gid as id,
    email,
    name,
    false as _fivetran_deleted,
    as_of as _fivetran_synced
from ranked
where place = 1
