-- Tables of the latest state in PostgreSQL, out of the batch files of all exports of all workspaces.
--
--     tap-asana-export --discover > catalog.json
--     psql -v batches=/data/asana/ -v catalog=catalog.json -v schema=asana -f load.sql
--
-- where `batches` is the batch_config's root and prefix, all that stands before the name of a stream. psql reads the
-- files, so they are on its machine: JSON Lines, gzipped or not. What begins with a dot is not complete.
--
-- Run it after every export; it takes everything anew, in one transaction: who reads the tables meanwhile sees them as
-- they were. Each stream of the catalog gets a table, also without files; a new property gets a column; views stay.
-- `_exported_at` tells which export a row came with.
--
-- What is nested is jsonb, and numbers with a fraction are numeric, so that none is rounded. What was deleted goes, by the
-- stream deletions or with the next full export; moves to another project come with the task's next export.
--
-- PostgreSQL cannot hold the character NUL, nor half a surrogate pair: the first is left out, the other is an error.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?batches} \else \set batches '' \endif
\if :{?catalog} \else \set catalog 'catalog.json' \endif
\if :{?schema} \else \set schema 'asana' \endif
\setenv BATCHES :batches
\setenv CATALOG :catalog
\set catalog `cat "$CATALOG"`
\set script `mktemp`
\pset format unaligned
\pset tuples_only on

set client_min_messages = warning;
set client_encoding = 'UTF8';
set time zone 'UTC';
begin;
create schema if not exists :"schema";
set local search_path = :"schema";

-- What the catalog says of each stream: its columns with their types, its keys, and the types of the objects that its
-- records are of or within.
create temp table batch_columns on commit drop as
select stream->>'tap_stream_id' as stream, name::text, position, case
    when types = '["string"]' and definition->>'format' = 'date-time' then 'timestamptz'
    when types = '["string"]' and definition->>'format' = 'date' then 'date'
    when types = '["string"]' then 'text'
    when types = '["boolean"]' then 'boolean'
    when types = '["integer"]' then 'bigint'
    when types = '["number"]' then 'numeric'
    else 'jsonb'
  end as type
from jsonb_array_elements(:'catalog'::jsonb->'streams') as stream,
  jsonb_each(stream->'schema'->'properties') with ordinality as property (name, definition, position),
  coalesce(case jsonb_typeof(definition->'type')
    when 'array' then (definition->'type') - 'null'
    else jsonb_build_array(definition->'type')
  end) as types;

create temp table batch_streams on commit drop as
select
  stream->>'tap_stream_id' as stream,
  (select string_agg(quote_ident(key), ', ') from jsonb_array_elements_text(stream->'key_properties') as key) as keys,
  array(
    select type from unnest(array['task', 'message', 'team']) as type
    where stream->>'tap_stream_id' = type || 's' or stream->'schema'->'properties' ? (type || '_gid')
  ) as types
from jsonb_array_elements(:'catalog'::jsonb->'streams') as stream;

select format('create table if not exists %I (_exported_at timestamptz)', stream) from batch_streams \gexec
select format('alter table %I add column if not exists %I %s', stream, name, type)
from batch_columns order by stream, position \gexec
select format('delete from %I', stream) from batch_streams \gexec

-- The batch files, as <stream>/<workspace or parent>/<name>.
create temp table batch_files (path text) on commit drop;
\copy batch_files from program 'for file in "$BATCHES"*/*/*.jsonl "$BATCHES"*/*/*.jsonl.gz "$BATCHES"*/*/*.parquet; do [ ! -f "$file" ] || echo "${file#"$BATCHES"}"; done'
alter table batch_files
  add column stream text generated always as (split_part(path, '/', 1)) stored,
  add column place text generated always as (split_part(path, '/', 2)) stored,
  add column name text generated always as (split_part(path, '/', 3)) stored;
do $$ begin
  if exists (select from batch_files where path like '%.parquet') then
    raise 'There are Parquet files, of which psql reads none: write JSON Lines, to a new prefix and without the tap''s state.';
  end if;
  if not exists (select from batch_files) then
    raise 'There is no batch file <batches><stream>/<workspace>/….jsonl: give psql -v batches=… with the batch_config''s root and prefix, all that stands before the name of a stream, with the slash if there is one.';
  end if;
end $$;

-- A time as the names of files begin with it, and such a name's time.
create function pg_temp.file_time(at timestamptz) returns text language sql
return to_char(at, 'YYYYMMDD"T"HH24MISSMS"Z"');
create function pg_temp.time_of(file text) returns timestamptz language sql
return to_timestamp(split_part(file, '-', 1), 'YYYYMMDD"T"HH24MISSMS"Z"');

-- A line of JSON, without the character NUL; two backslashes before u0000 are one that was written.
create function pg_temp.without_nul(line text) returns text language sql immutable
return case when strpos(line, '\u0000') > 0 then regexp_replace(line, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g') else line end;

-- The lines of the files of one stream.
create temp table batch_lines (line text, exported_at timestamptz) on commit drop;
alter table batch_lines alter column line set storage external;

-- What psql has to do for a stream: read its files, the oldest first, fill its table, keep of each key what came last.
create function pg_temp.script_of(of_stream text) returns setof text language sql
begin atomic
  with since as (
    select coalesce(parent_gid, workspace_gid) as place, pg_temp.file_time(max(created_at)) as whole
    from exports, batch_streams
    where stream = of_stream and case
      when list is not null then "full" and list = stream
      when kind = 'graph' then "full" and starts_with(stream, 'graph_')
      -- Every export has all teams.
      else objects ?| types and ("full" or types = '{team}')
    end
    group by 1
  )
  select 'truncate batch_lines;'
  union all
  (
    -- No JSON has the characters U+0001 and U+0002, so COPY takes each line as it is.
    select format($script$
alter table batch_lines alter column exported_at set default %L;
\copy batch_lines (line) from program 'gzip -dcf "$BATCHES"%s' with (format csv, delimiter e'\x02', quote e'\x01')
$script$, pg_temp.time_of(name), path)
    from batch_files left join since using (place)
    where stream = of_stream and (whole is null or name >= whole)
    order by name
  )
  union all
  select format($script$
insert into %1$I (_exported_at, %2$s)
select exported_at, %2$s
from batch_lines, json_populate_record(null::%1$I, pg_temp.without_nul(line)::json);
delete from %1$I using (
  select ctid as place, row_number() over (partition by %3$s order by %4$s ctid desc) as age from %1$I
) as known
where %1$I.ctid = known.place and age > 1;
$script$,
    of_stream,
    string_agg(quote_ident(name), ', ' order by position),
    (select keys from batch_streams where stream = of_stream),
    concat_ws(', ',
      -- Of a deletion and an undeletion of the same moment, the undeletion counts.
      case when bool_or(name = 'changed_at') then 'changed_at desc, is_deleted' end,
      '_exported_at desc',
      case when bool_or(name = 'modified_at') then 'modified_at desc' end,
      ''
    )
  )
  from batch_columns
  where stream = of_stream;
end;

-- exports and deletions say what counts of the others.
\o :script
select pg_temp.script_of('exports');
\o
\i :script
\o :script
select pg_temp.script_of(stream) from batch_streams where stream <> 'exports';
\o
\i :script
\setenv SCRIPT :script
\! rm "$SCRIPT"

-- When what is deleted was deleted. A subtask goes with its parent, whether or not its own deletion is told, unless it was
-- undeleted.
create temp table gone on commit drop as
with recursive below as (
  select gid, changed_at as at
  from deletions
  where is_deleted and not exists (select from tasks where gid = deletions.gid and _exported_at > changed_at)
  union
  select tasks.gid, at
  from tasks join below on parent->>'gid' = below.gid
  where not exists (select from deletions where gid = tasks.gid and not is_deleted)
)
select * from below
union
select gid, changed_at from deletions where is_deleted;
create index on gone (gid);

-- An object goes with what was deleted after its export; so do the rows of what is within it.
select format(
  'delete from %I as present using gone where gone.gid = present.%I and gone.at >= present._exported_at;', stream, name
)
from batch_columns
where name in ('gid', 'task_gid', 'message_gid', 'team_gid', 'project_gid', 'portfolio_gid')
  and stream not in ('exports', 'deletions', 'events', 'audit_log_events')
\gexec

-- Of what is within a task or a message, the present rows are those of its last version, and of the last export that had
-- it: who follows it no longer is in neither. Without the objects nobody knows the last version.
select format($delete$
delete from %1$I using (
  select ctid as place, _exported_at < max(_exported_at) over (partition by %2$s_gid) as is_past from %1$I
) as known
where %1$I.ctid = known.place and %2$s_gid is not null and (
  is_past
  or exists (select from %2$ss) and not exists (
    select from %2$ss where %2$ss.gid = %2$s_gid and %2$ss.modified_at is not distinct from %2$s_modified_at
  )
);
$delete$, stream, left(name, -4))
from batch_columns
where name in ('task_gid', 'message_gid') and stream <> all('{exports,deletions}')
\gexec
commit;
