-- One row for each custom field of a task, also where it has no value.
select
    fields.task_gid || '-' || fields.gid as value_key,
    fields.task_gid,
    fields.workspace_gid,
    fields.gid as custom_field_gid,
    fields.name,
    coalesce(fields.resource_subtype, fields.type) as type,
    fields.display_value,
    fields.text_value,
    fields.number_value,
    coalesce(fields.date_value, cast(fields.date_time_value as date)) as date_value,
    fields.date_time_value,
    fields.enum_value_gid as enum_option_gid,
    fields.enum_value_name as enum_option_name,
    fields.multi_enum_values,
    fields.people_value,
    fields.reference_value
from {{ ref('stg_asana_export__task_custom_fields') }} as fields
