{#- When a row was loaded, as Fivetran tells: when its export began, or else when the workspace's last one did. -#}
{%- macro synced(rows) -%}
coalesce({{ rows }}.exported_at, workspaces.as_of)
{%- endmacro -%}

{%- macro join_synced(rows) -%}
left join {{ ref('int_asana_export__workspaces') }} as workspaces on workspaces.workspace_gid = {{ rows }}.workspace_gid
{%- endmacro -%}
