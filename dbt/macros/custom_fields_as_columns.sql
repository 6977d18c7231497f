{#-
  A query with one row a task and a column for each of these custom fields.

  Args:
      fields: names or gids of custom fields. A name stands for every field of that name, a gid for that field alone. As
          a mapping: to each the column of asana_custom_field_values that is wanted, such as number_value.
-#}
{%- macro custom_fields_as_columns(fields) -%}
{%- set wanted = fields if fields is mapping else dict(zip(fields, ['display_value'] * (fields | length))) -%}
select
    tasks.task_gid
    {%- for field, column in wanted.items() %},
    max(case when {{ "'" ~ field | replace("'", "''") ~ "'" }} in (fields.name, fields.custom_field_gid) then fields.{{ column }} end)
        as {{ adapter.quote(field) }}
    {%- endfor %}
from {{ ref('asana_tasks') }} as tasks
left join {{ ref('asana_custom_field_values') }} as fields on fields.task_gid = tasks.task_gid
group by tasks.task_gid
{%- endmacro -%}
