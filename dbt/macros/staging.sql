{#- The staging models: what is there now, one name a column whatever target made the table. -#}

{#- The table of a stream, or none; and what it has. At the time of parsing nobody knows. -#}
{%- macro table_of(stream) -%}
  {%- set source = source('asana_export', stream) -%}
  {{ return(adapter.get_relation(source.database, source.schema, source.identifier) if execute else none) }}
{%- endmacro -%}

{%- macro has_rows(table) -%}
  {{ return(table is not none and run_query('select 1 from ' ~ table ~ ' limit 1') | length > 0) }}
{%- endmacro -%}

{%- macro columns_of(table) -%}
  {%- set found = {} -%}
  {%- if table is not none -%}
    {%- for column in adapter.get_columns_in_relation(table) -%}
      {%- do found.update({column.name: column.data_type}) -%}
    {%- endfor -%}
  {%- endif -%}
  {{ return(found) }}
{%- endmacro -%}

{#-
  An expression for a column, as models describe one: its type, and a path if it has another name or is within an object.

  An object is JSON, or, flattened, a column for each of its properties. What the table does not have is null.
-#}
{%- macro column(columns, name, description) -%}
  {%- set type, path = (description ~ ' ' ~ name).split(' ')[:2] -%}
  {%- set parts = path.split('.') -%}
  {%- for length in range(parts | length, 0, -1) -%}
    {%- set found = parts[:length] | join('__') -%}
    {%- if found in columns -%}
      {%- set value = 'records.' ~ adapter.quote(found) -%}
      {%- if length == parts | length -%}
        {{ return(asana_export.converted(value, columns[found], type)) }}
      {%- endif -%}
      {{ return(asana_export.within(asana_export.converted(value, columns[found], 'json'), parts[length:], type)) }}
    {%- endif -%}
  {%- endfor -%}
  {{ return('cast(null as ' ~ asana_export.type_of(type) ~ ')') }}
{%- endmacro -%}

{%- macro within(json, path, type) -%}
  {%- if type == 'json' -%}
    {{ return(asana_export.json_value(json, path)) }}
  {%- endif -%}
  {{ return(asana_export.converted(asana_export.json_text(json, path), 'text', type)) }}
{%- endmacro -%}

{#-
  The newest record of each key in a stream's table, without those that are past: older than the last complete export,
  marked as deleted, or, where `deletions` has them, deleted since. Without such a table there is none.

  `exported_at` is when Asana began the export that a record came with; null where the target does not keep it.
-#}
{%- macro current(stream, key, descriptions, of='', apply_deletions=true) -%}
  {%- set table = asana_export.table_of(stream) -%}
  {%- set columns = asana_export.columns_of(table) -%}
  {%- set descriptions = dict(descriptions, exported_at='timestamp _sdc_extracted_at') -%}
  {%- set newest = ['_sdc_extracted_at', 'modified_at', 'task_modified_at', 'message_modified_at', '_sdc_batched_at'] -%}
  {%- set is_export = stream == 'exports' -%}
select
    {%- for name in descriptions %}
    records.{{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
from (
    select
        {%- for name, description in descriptions.items() %}
        {{ asana_export.column(columns, name, description) }} as {{ adapter.quote(name) }},
        {%- endfor %}
        row_number() over (
            partition by {% for name in key %}{{ asana_export.column(columns, name, descriptions[name]) }}, {% endfor %}1
            order by {% for name in newest if name in columns %}records.{{ adapter.quote(name) }} desc nulls last, {% endfor %}1
        ) as place
    from {{ table if table is not none else '(select 1 as nothing) as' }}{{ ' as' if table is not none }} records
    where
        {{ 'true' if table is not none else 'false' }}
        {%- if '_sdc_deleted_at' in columns %}
        and records.{{ adapter.quote('_sdc_deleted_at') }} is null
        {%- endif %}
) as records
{%- if not is_export %}
left join {{ ref('stg_asana_export__complete_exports') }} as complete
    on complete.workspace_gid = records.workspace_gid and complete.stream = {{ of or "'" ~ stream ~ "'" }}
{%- endif %}
where
    records.place = 1
    {%- for name in key %}
    and records.{{ adapter.quote(name) }} is not null
    {%- endfor %}
    {%- if not is_export %}
    and coalesce(records.exported_at >= complete.since, true)
    {%- endif %}
    {%- if apply_deletions and key == ['gid'] and stream not in ('exports', 'deletions') %}
    and not exists (
        select 1 from {{ ref('int_asana_export__gone') }} as gone
        where
            gone.gid = records.gid
            and coalesce(gone.gone_at >= {{ 'coalesce(records.exported_at, records.modified_at)' if 'modified_at' in descriptions else 'records.exported_at' }}, true)
    )
    {%- endif %}
{%- endmacro -%}

{#-
  Memberships as events tell of them since their task was exported: what was added to a project or section, or removed.

  An event does not tell which project a section is in: memberships and the list of sections do. In a project a task has
  one section. A project that is deleted leaves its tasks.
-#}
{%- macro moved(memberships) -%}
{#- The refs have to be seen while parsing, whether or not there are events. -#}
{%- set tasks, events, sections, gone = ref('stg_asana_export__tasks'), ref('stg_asana_export__events'), ref('stg_asana_export__sections'), ref('int_asana_export__gone') -%}
with memberships as (
{{ memberships }}
),
{% if execute and asana_export.has_rows(asana_export.table_of('events')) %}
places as (
    select place_gid, max(project_gid) as project_gid, max(project_name) as project_name
    from (
        select section_gid as place_gid, project_gid, project_name from memberships
        union all
        select gid, project_gid, project_name from {{ sections }}
        union all
        select parent_gid, parent_gid, parent_name from {{ events }} where parent_type = 'project'
    ) as each_place
    where place_gid is not null
    group by place_gid
),

tasks as (
    select gid, modified_at, workspace_gid, exported_at from {{ tasks }}
),

told as (
    select
        events.resource_gid as task_gid,
        places.project_gid,
        places.project_name,
        case when events.parent_type = 'section' then events.parent_gid end as section_gid,
        case when events.parent_type = 'section' then events.parent_name end as section_name,
        events.action = 'added' as is_in,
        events.created_at as told_at
    from {{ events }} as events
    inner join tasks on tasks.gid = events.resource_gid and events.created_at > tasks.exported_at
    inner join places on places.place_gid = events.parent_gid
    where events.action in ('added', 'removed')
    union all
    select task_gid, project_gid, project_name, null, null, true, exported_at from memberships
    union all
    select task_gid, project_gid, project_name, section_gid, section_name, true, exported_at
    from memberships
    where section_gid is not null
),

latest as (
    select
        told.*,
        row_number() over (
            partition by task_gid, project_gid, section_gid order by told_at desc nulls last, case when is_in then 0 else 1 end
        ) as place
    from told
),

sections as (
    select
        latest.*,
        row_number() over (partition by task_gid, project_gid order by told_at desc nulls last, section_gid) as rank_of_section
    from latest
    where place = 1 and is_in and section_gid is not null
),

present as (
    select
        task_gid,
        project_gid,
        max(project_name) as project_name,
        max(told_at) as told_at,
        coalesce(bool_or(is_in) filter (where section_gid is null), bool_or(is_in)) as is_in
    from latest
    where place = 1
    group by task_gid, project_gid
),

current_memberships as (
    select
        present.project_name,
        present.project_gid,
        sections.section_gid,
        sections.section_name,
        present.task_gid,
        tasks.modified_at as task_modified_at,
        tasks.workspace_gid,
        tasks.exported_at,
        present.told_at
    from present
    inner join tasks on tasks.gid = present.task_gid
    left join sections
        on sections.task_gid = present.task_gid
        and sections.project_gid = present.project_gid
        and sections.rank_of_section = 1
    where present.is_in
)
{% else %}
current_memberships as (
    select memberships.*, exported_at as told_at from memberships
)
{% endif %}
select project_name, project_gid, section_gid, section_name, task_gid, task_modified_at, workspace_gid, exported_at
from current_memberships
where not exists (
    select 1 from {{ gone }} as gone
    where gone.gid = current_memberships.project_gid and coalesce(gone.gone_at >= current_memberships.told_at, true)
)
{%- endmacro -%}

{#- By part, the types and streams of the objects that it is cut out of. -#}
{%- macro parents_of(part) -%}
  {%- set of_task = {'task': 'tasks'} -%}
  {%- set of_message = {'message': 'messages'} -%}
  {{ return({
      'stories': dict(of_task, **of_message),
      'attachments': dict(of_task, **of_message),
      'team_members': {'team': 'teams'},
      'message_parents': of_message,
      'message_followers': of_message,
  }.get(part, of_task)) }}
{%- endmacro -%}

{#-
  A part of objects: out of its own table, those of the objects' last version and last export; or, if that has no rows, out of the arrays
  of the objects themselves, which hold the same.
-#}
{%- macro part(stream, array, key, descriptions) -%}
  {%- set parents = asana_export.parents_of(stream) -%}
  {%- set descriptions = dict(descriptions) -%}
  {%- for kind in parents -%}
    {#- ref() has to be seen while parsing, whichever way is gone. -#}
    {%- do ref('stg_asana_export__' ~ parents[kind]) -%}
  {%- endfor -%}
  {%- do ref('int_asana_export__gone') -%}
  {%- do ref('stg_asana_export__complete_exports') -%}
  {%- if execute and asana_export.has_rows(asana_export.table_of(stream)) -%}
    {{ asana_export.part_out_of_its_table(stream, key, descriptions, parents) }}
  {%- else -%}
    {%- do source('asana_export', stream) -%}
    {%- for kind in parents %}
{{ asana_export.part_out_of_objects(array, key, descriptions, parents, kind) }}
{{ 'union all' if not loop.last }}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}

{%- macro part_out_of_its_table(stream, key, descriptions, parents) -%}
  {%- for kind in parents -%}
    {%- do descriptions.update({kind ~ '_gid': 'text'}) -%}
    {%- if kind != 'team' -%}{%- do descriptions.update({kind ~ '_modified_at': 'timestamp'}) -%}{%- endif -%}
  {%- endfor -%}
  {%- do descriptions.update({'workspace_gid': 'text'}) -%}
  {%- set of = "case when records.task_gid is null then 'messages' else 'tasks' end" if parents | length > 1
      else "'" ~ (parents.values() | first) ~ "'" -%}
select
    {%- for name in dict(descriptions, exported_at='') %}
    parts.{{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
from (
    select
        present.*,
        rank() over (
            partition by {% for kind in parents %}present.{{ kind }}_gid{{ ', ' if not loop.last }}{% endfor %}
            order by present.exported_at desc nulls last
        ) as seen
    from (
        {{ asana_export.current(stream, key, descriptions, of) }}
    ) as present
) as parts
where
    -- What the last export of an object did not have any more, such as the project that a task was moved out of.
    parts.seen = 1
    {%- for kind, objects in parents.items() if asana_export.has_rows(asana_export.table_of(objects)) %}
    and {{ '(parts.' ~ kind ~ '_gid is null or ' if parents | length > 1 }}exists (
        select 1 from {{ ref('stg_asana_export__' ~ objects) }} as objects
        where
            objects.gid = parts.{{ kind }}_gid
            {%- if kind != 'team' %}
            and objects.modified_at = parts.{{ kind }}_modified_at
            {%- endif %}
    ){{ ')' if parents | length > 1 }}
    {%- endfor %}
{%- endmacro -%}

{%- macro part_out_of_objects(array, key, descriptions, parents, kind) -%}
select
    {%- for name, description in descriptions.items() %}
    {%- set type, path = (description ~ ' ' ~ name).split(' ')[:2] %}
    {{ asana_export.within('each.item', path.split('.'), type) }} as {{ adapter.quote(name) }},
    {%- endfor %}
    {%- for each in parents %}
    {{ 'objects.gid' if each == kind else 'cast(null as ' ~ asana_export.type_of('text') ~ ')' }} as {{ each }}_gid,
    {%- if each != 'team' %}
    {{ 'objects.modified_at' if each == kind else 'cast(null as ' ~ asana_export.type_of('timestamp') ~ ')' }} as {{ each }}_modified_at,
    {%- endif %}
    {%- endfor %}
    objects.workspace_gid,
    objects.exported_at
from {{ ref('stg_asana_export__' ~ parents[kind]) }} as objects
cross join {{ asana_export.json_items('objects.' ~ adapter.quote(array), 'each') }}
where
    true
    {%- for name in key if name in descriptions %}
    {%- set path = (descriptions[name] ~ ' ' ~ name).split(' ')[1] %}
    and {{ asana_export.json_text('each.item', path.split('.')) }} is not null
    {%- endfor %}
    {%- if key == ['gid'] %}
    and not exists (
        select 1 from {{ ref('int_asana_export__gone') }} as gone
        where
            gone.gid = {{ asana_export.json_text('each.item', ['gid']) }}
            and coalesce(gone.gone_at >= objects.exported_at, true)
    )
    {%- endif %}
{%- endmacro -%}
