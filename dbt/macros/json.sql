{#- JSON, and what else differs between warehouses. Nothing outside this file knows which one it is on. -#}

{#- A value out of JSON as text; null if it is not there. -#}
{%- macro json_text(json, path) -%}
  {{ return(adapter.dispatch('json_text', 'asana_export')(json, path)) }}
{%- endmacro -%}

{%- macro duckdb__json_text(json, path) -%}
  {{ return("(" ~ json ~ " ->> '$." ~ path | join('.') ~ "')") }}
{%- endmacro -%}

{%- macro postgres__json_text(json, path) -%}
  {{ return("(" ~ json ~ " #>> '{" ~ path | join(',') ~ "}')") }}
{%- endmacro -%}

{#- A value out of JSON as JSON. -#}
{%- macro json_value(json, path) -%}
  {{ return(adapter.dispatch('json_value', 'asana_export')(json, path)) }}
{%- endmacro -%}

{%- macro duckdb__json_value(json, path) -%}
  {{ return("(" ~ json ~ " -> '$." ~ path | join('.') ~ "')") }}
{%- endmacro -%}

{%- macro postgres__json_value(json, path) -%}
  {{ return("(" ~ json ~ " #> '{" ~ path | join(',') ~ "}')") }}
{%- endmacro -%}

{#- A row for each item of a JSON array, to be cross joined: its column is `item`. No array, no row. -#}
{%- macro json_items(json, alias) -%}
  {{ return(adapter.dispatch('json_items', 'asana_export')(json, alias)) }}
{%- endmacro -%}

{%- macro duckdb__json_items(json, alias) -%}
  {{ return("unnest(from_json(" ~ json ~ ", '[\"json\"]')) as " ~ alias ~ "(item)") }}
{%- endmacro -%}

{%- macro postgres__json_items(json, alias) -%}
  {{ return("jsonb_array_elements(case when jsonb_typeof(" ~ json ~ ") = 'array' then " ~ json ~ " end) as " ~ alias ~ "(item)") }}
{%- endmacro -%}

{#- The name of a type here: text, boolean, integer, number, timestamp (UTC, without a zone), date or json. -#}
{%- macro type_of(type) -%}
  {{ return(adapter.dispatch('type_of', 'asana_export')(type)) }}
{%- endmacro -%}

{%- macro duckdb__type_of(type) -%}
  {{ return({'text': 'varchar', 'integer': 'bigint', 'number': 'double'}.get(type, type)) }}
{%- endmacro -%}

{%- macro postgres__type_of(type) -%}
  {{ return({'integer': 'bigint', 'number': 'double precision', 'json': 'jsonb'}.get(type, type)) }}
{%- endmacro -%}

{#- A value in another type. Targets keep times and dates as such or as text, JSON as such, as an array of it, or as text. -#}
{%- macro converted(value, data_type, type) -%}
  {{ return(adapter.dispatch('converted', 'asana_export')(value, data_type | lower, type)) }}
{%- endmacro -%}

{%- macro duckdb__converted(value, data_type, type) -%}
  {{ return("cast(" ~ value ~ " as " ~ asana_export.type_of(type) ~ ")") }}
{%- endmacro -%}

{%- macro postgres__converted(value, data_type, type) -%}
  {%- if type == 'json' and data_type == 'array' -%}
    {{ return("to_jsonb(" ~ value ~ ")") }}
  {%- elif type == 'timestamp' and data_type != 'timestamp without time zone' -%}
    {{ return("(cast(" ~ value ~ " as timestamp with time zone) at time zone 'UTC')") }}
  {%- endif -%}
  {{ return("cast(" ~ value ~ " as " ~ asana_export.type_of(type) ~ ")") }}
{%- endmacro -%}

{#- A row for each day between two dates, each a scalar subquery; its column is `day`. No dates, no row. -#}
{%- macro days(first, last, alias) -%}
  {{ return(adapter.dispatch('days', 'asana_export')(first, last, alias)) }}
{%- endmacro -%}

{%- macro duckdb__days(first, last, alias) -%}
  {{ return("(select cast(day as date) as day from unnest(generate_series(cast(" ~ first ~ " as timestamp), cast(" ~ last ~ " as timestamp), interval '1 day')) as series(day)) as " ~ alias) }}
{%- endmacro -%}

{%- macro postgres__days(first, last, alias) -%}
  {{ return("(select cast(day as date) as day from generate_series(cast(" ~ first ~ " as timestamp), cast(" ~ last ~ " as timestamp), interval '1 day') as series(day)) as " ~ alias) }}
{%- endmacro -%}
