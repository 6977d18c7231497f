-- Tables of the latest state out of the batch files of all exports of all workspaces.
--
--     duckdb asana.duckdb -cmd "set variable batches = '/data/asana/'" -f load.sql
--
-- where `batches` is the batch_config's root and prefix, all that stands before the name of a stream; s3://… will do.
-- Run it after every export; it takes everything anew, so a run that broke off is mended by the next. A stream that has
-- no file gets an empty table. Files may be gzipped or not (the batch_config's compression): what is not is five times
-- as large, and read in three quarters of the time. What begins with a dot is not complete. Parquet is not read.
--
-- Of the nested columns nothing is lost, also not what Asana adds one day: they are JSON, as target-duckdb makes them
-- (`assignee->>'name'`, `unnest(from_json(followers, '["json"]'))`). A value that does not fit its column and a line that
-- is cut off are errors; gzip's checksum, though, DuckDB does not look at. Times are UTC.

-- A line can have megabytes of notes.
set variable longest = 1_000_000_000;

-- Where there is no file at all the variable is wrong, and the tables stay as they are.
select case
  when count(*) = 0 or getvariable('batches') is null then error('There is no batch file ' || coalesce(getvariable('batches')::varchar, '') || '<stream>/<workspace>/….jsonl: '
    'set the variable batches to the batch_config''s root and prefix, all that stands before the name of a stream.')
  when bool_or(file like '%.parquet') then error('These batch files are Parquet: set batch_config.encoding.format to jsonl.')
end
from glob(coalesce(getvariable('batches')::varchar, '') || '*/*/[!.]*')
where regexp_matches(file, '\.(jsonl(\.gz)?|parquet)$');

-- A statement that reads the variable `files`, or makes an empty table where there are none, which read_json refuses to do.
create or replace temp macro reading(columns) as case
  when getvariable('files') is null then
    'select '''' as filename, ' || regexp_replace(trim(to_json(columns)::varchar, '{}'), '"(\w+)":"(\w+)"', 'null::\2 as "\1"', 'g')
    || ' where false'
  else
    'from read_json(getvariable(''files''), filename = true, format = ''newline_delimited'', '
    'maximum_object_size = getvariable(''longest''), columns = '
    || regexp_replace(to_json(columns)::varchar, ':"(\w+)"', ':''\1''', 'g') || ')'
end;

set variable files = (select list(file) from glob(getvariable('batches') || 'exports/*/[!.]*.jsonl*'));
create or replace table exports as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  job_gid: 'VARCHAR',
  kind: 'VARCHAR',
  workspace_gid: 'VARCHAR',
  parent_gid: 'VARCHAR',
  created_at: 'TIMESTAMP',
  completed_at: 'TIMESTAMP',
  "full": 'BOOLEAN',
  objects: 'JSON',
  lines: 'BIGINT',
  bytes: 'BIGINT',
  unknown_fields: 'JSON'
}))
qualify row_number() over (partition by gid order by filename desc) = 1;

-- The files that tell the present: a full export says what there is, so whatever is older is past. What was deleted
-- since then, or has been moved to another project, is only known after the next full export.
create or replace temp macro files(stream, is_full) as (
  select list(file)
  from glob(getvariable('batches') || stream || '/*/[!.]*.jsonl*')
  left join (
    select workspace_gid, max(strftime(created_at, '%Y%m%dT%H%M%S%gZ')) as since from exports where is_full group by all
  ) on workspace_gid = split_part(file, '/', -2)
  where since is null or parse_filename(file) >= since
);

set variable files = files('tasks', "full" and objects.task is not null);
create or replace table tasks as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  resource_subtype: 'VARCHAR',
  created_by: 'JSON',
  approval_status: 'VARCHAR',
  assignee_status: 'VARCHAR',
  assigned_by: 'JSON',
  completed: 'BOOLEAN',
  completed_at: 'TIMESTAMP',
  completed_by: 'JSON',
  created_at: 'TIMESTAMP',
  dependencies: 'JSON',
  dependents: 'JSON',
  due_at: 'TIMESTAMP',
  due_on: 'DATE',
  external: 'JSON',
  html_notes: 'VARCHAR',
  hearted: 'BOOLEAN',
  hearts: 'JSON',
  is_rendered_as_separator: 'BOOLEAN',
  liked: 'BOOLEAN',
  likes: 'JSON',
  memberships: 'JSON',
  modified_at: 'TIMESTAMP',
  notes: 'VARCHAR',
  num_hearts: 'BIGINT',
  num_likes: 'BIGINT',
  num_subtasks: 'BIGINT',
  start_at: 'TIMESTAMP',
  start_on: 'DATE',
  actual_time_minutes: 'DOUBLE',
  assignee: 'JSON',
  assignee_section: 'JSON',
  custom_fields: 'JSON',
  custom_type: 'JSON',
  custom_type_status_option: 'JSON',
  followers: 'JSON',
  parent: 'JSON',
  projects: 'JSON',
  tags: 'JSON',
  workspace: 'JSON',
  permalink_url: 'VARCHAR',
  attachments: 'JSON',
  stories: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc, modified_at desc) = 1;

set variable files = files('messages', "full" and objects.message is not null);
create or replace table messages as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  resource_subtype: 'VARCHAR',
  status_type: 'VARCHAR',
  created_by: 'JSON',
  created_at: 'TIMESTAMP',
  modified_at: 'TIMESTAMP',
  title: 'VARCHAR',
  text: 'VARCHAR',
  html_notes: 'VARCHAR',
  num_likes: 'BIGINT',
  likes: 'JSON',
  stories: 'JSON',
  attachments: 'JSON',
  followers: 'JSON',
  parents: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc, modified_at desc) = 1;

set variable files = files('teams', objects.team is not null);
create or replace table teams as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  description: 'VARCHAR',
  html_description: 'VARCHAR',
  organization: 'JSON',
  permalink_url: 'VARCHAR',
  visibility: 'VARCHAR',
  edit_team_name_or_description_access_level: 'VARCHAR',
  edit_team_visibility_or_trash_team_access_level: 'VARCHAR',
  member_invite_management_access_level: 'VARCHAR',
  guest_invite_management_access_level: 'VARCHAR',
  join_request_management_access_level: 'VARCHAR',
  team_member_removal_access_level: 'VARCHAR',
  team_content_management_access_level: 'VARCHAR',
  endorsed: 'BOOLEAN',
  custom_field_settings: 'JSON',
  members: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;
