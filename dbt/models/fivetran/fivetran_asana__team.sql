{{ config(alias='team') }}

-- Teams, and those that projects name: a project without its team would vanish in an inner join.
with named as (
    select team_gid as gid, workspace_gid, max(team_name) as name
    from {{ ref('int_asana_export__projects') }}
    where team_gid is not null
    group by team_gid, workspace_gid
),

all_teams as (
    select
        coalesce(teams.gid, named.gid) as gid,
        coalesce(teams.workspace_gid, named.workspace_gid) as workspace_gid,
        coalesce(teams.name, named.name) as name,
        teams.exported_at
    from {{ ref('stg_asana_export__teams') }} as teams
    full join named on named.gid = teams.gid
)

select
    all_teams.gid as id,
    all_teams.name,
    all_teams.workspace_gid as organization_id,
    false as _fivetran_deleted,
    {{ asana_export.synced('all_teams') }} as _fivetran_synced
from all_teams
{{ asana_export.join_synced('all_teams') }}
