{#- A schema that is named is that schema. dbt takes this macro where this package is the project; your own has its own. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
  {{ return(custom_schema_name | trim if custom_schema_name else target.schema) }}
{%- endmacro -%}
