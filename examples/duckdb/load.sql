-- Tables of the latest state out of the batch files of all exports of all workspaces.
--
--     duckdb asana.duckdb -cmd "set variable batches = '/data/asana/'" -f load.sql
--
-- where `batches` is the batch_config's root and prefix, all that stands before the name of a stream; s3://… will do.
-- Run it after every export; it takes everything anew, so a run that broke off is mended by the next. A stream that has
-- no file gets an empty table. Files may be JSON Lines, gzipped or not, or Parquet, but not both of one stream: whoever
-- changes the batch_config's format begins with a new prefix and without the tap's state. What begins with a dot is not complete.
--
-- Of the nested columns nothing is lost, also not what Asana adds one day: they are JSON, as target-duckdb makes them
-- (`assignee->>'name'`, `unnest(from_json(followers, '["json"]'))`). A value that DuckDB cannot cast to its
-- column and a line that is cut off are errors; what it can cast it may round, such as 1.5 in a column of whole numbers (Parquet
-- files never hold that). It does not look at gzip's checksum. Times are UTC, as Asana writes them.

-- The pattern that fits a path alone: DuckDB takes what stands in a folder's name for a pattern, also where it reads a list of files.
create or replace temp macro literally(path) as regexp_replace(path, '([[*?])', '[\1]', 'g');

-- The batch files of a stream, or of all for `*`; what begins with a dot is not complete.
create or replace temp macro batch_files(stream) as table
  select literally(file) as file
  from glob(literally(coalesce(getvariable('batches')::varchar, '')) || stream || '/*/[!.]*')
  where regexp_matches(file, '\.(jsonl(\.gz)?|parquet)$');

-- The streams that there are tables of.
set variable streams = [
  'exports', 'deletions', 'events', 'audit_log_events', 'tasks', 'messages', 'teams', 'stories', 'attachments',
  'task_memberships', 'task_followers', 'task_tags', 'task_likes', 'task_dependencies', 'task_custom_fields',
  'team_members', 'message_parents', 'message_followers', 'workspaces', 'users', 'workspace_memberships', 'projects',
  'sections', 'tags', 'custom_fields', 'portfolios', 'portfolio_items', 'goals', 'time_periods', 'project_templates',
  'allocations', 'time_tracking_entries'
];

-- Where none of them has a file the variable is wrong, and the tables stay as they are.
set variable checked = (select case
  when count(*) = 0 or getvariable('batches') is null then error('There is no batch file ' || coalesce(getvariable('batches')::varchar, '') || '<stream>/<workspace>/….jsonl: '
    'set the variable batches to the batch_config''s root and prefix, all that stands before the name of a stream, '
    'with the slash if there is one.')
end
from batch_files('*')
where list_contains(getvariable('streams'), substr(split_part(file, '/', -3), length(split_part(literally(getvariable('batches')::varchar), '/', -1)) + 1)));

-- Each thread of DuckDB's takes twice the memory of the longest line that DuckDB is told. No line is longer than its file, nor than
-- the tap's limit of 256 MB. Of a gzipped file the size tells nothing: where memory is short, give the longest line yourself
-- (-cmd "set variable longest = 20_000_000"). A longer one is an error.
-- Only files whose size tells something are looked at: in S3 each takes a request.
set variable files = (
  select case
    when bool_or(file like '%.gz') then [max(file) filter (file like '%.gz')]
    when bool_or(file like '%.jsonl') then list(file) filter (file like '%.jsonl')
    else [max(file)]
  end
  from batch_files('*')
);
set variable object_size = coalesce(getvariable('longest'), (
  select least(greatest(max(if(filename like '%.gz', 300_000_000, size)), 16_777_216), 300_000_000)
  from read_blob(getvariable('files'))
));

-- A statement that reads the variable `files`, or makes an empty table where there are none, which read_json refuses to do.
-- Parquet files lack the columns that are deselected; their times have a zone, and their nested columns are text.
create or replace temp macro reading(columns) as case
  when getvariable('files') is null then
    'select '''' as filename, ' || regexp_replace(trim(to_json(columns)::varchar, '{}'), '"(\w+)":"(\w+)"', 'null::\2 as "\1"', 'g')
    || ' where false'
  when len([file for file in getvariable('files') if file not like '%.parquet']) = 0 then
    'select filename, '
    || regexp_replace(regexp_replace(trim(to_json(columns)::varchar, '{}'),
      '"(\w+)":"TIMESTAMP"', 'make_timestamp(epoch_us("\1"::timestamptz)) as "\1"', 'g'),
      '"(\w+)":"(\w+)"', '"\1"::\2 as "\1"', 'g')
    || ' from (select ' || regexp_replace(trim(to_json(columns)::varchar, '{}'), '"(\w+)":"(\w+)"', 'null as "\1"', 'g')
    || ' where false union all by name '
    || 'from read_parquet(getvariable(''files''), filename = true, union_by_name = true))'
  when len([file for file in getvariable('files') if file like '%.parquet']) > 0 then
    error('Files of JSON Lines and of Parquet are mixed: begin with a new prefix and without the tap''s state.')
  else
    'from read_json(getvariable(''files''), filename = true, format = ''newline_delimited'', '
    'maximum_object_size = getvariable(''object_size''), columns = '
    || regexp_replace(to_json(columns)::varchar, ':"(\w+)"', ':''\1''', 'g') || ')'
end;

-- The time of a file's export.
create or replace temp macro exported(filename) as split_part(parse_filename(filename), '-', 1);

-- Rows are chosen while they are read only where the variable `files` has several exports of a workspace: that takes a third more
-- time, and memory for all columns of all rows. The few objects that one export may have twice are deleted afterwards, which leaves
-- their space unused in the database's file.
create or replace temp macro choosing(condition) as if(
  len(list_distinct([(split_part(file, '/', -2), exported(file)) for file in getvariable('files')]))
    > len(list_distinct([split_part(file, '/', -2) for file in getvariable('files')])),
  ' qualify ' || condition,
  ''
);

-- A time as the names of files have it.
create or replace temp macro file_time(of_time) as strftime(of_time, '%Y%m%dT%H%M%S%gZ');

set variable files = (select list(file) from batch_files('exports'));
create or replace table exports as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  job_gid: 'VARCHAR',
  kind: 'VARCHAR',
  "list": 'VARCHAR',
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

-- The files that tell the present: a full export, or a complete list, says what there is, so whatever is older is past. What was deleted
-- since then, or has been moved to another project, the streams deletions and events tell; without them, the next full export.
create or replace temp macro files(stream, is_full) as (
  select list(file)
  from batch_files(stream)
  left join (
    select workspace_gid, max(file_time(created_at)) as since from exports where is_full group by all
  ) on workspace_gid = split_part(file, '/', -2)
  where since is null or parse_filename(file) >= since
);

-- What the audit log and the workspace's events tell. Without these streams there are only exports to go by.

set variable files = files('deletions', false);
create or replace table deletions as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  is_deleted: 'BOOLEAN',
  changed_at: 'TIMESTAMP',
  actor_gid: 'VARCHAR',
  source: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by changed_at desc, is_deleted, source) = 1;

set variable files = files('events', false);
create or replace table events as
select * exclude (filename)
from query(reading({
  user: 'JSON',
  resource: 'JSON',
  type: 'VARCHAR',
  action: 'VARCHAR',
  parent: 'JSON',
  created_at: 'TIMESTAMP',
  change: 'JSON',
  gid: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by filename desc) = 1;

set variable files = files('audit_log_events', false);
create or replace table audit_log_events as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  created_at: 'TIMESTAMP',
  event_type: 'VARCHAR',
  event_category: 'VARCHAR',
  actor: 'JSON',
  resource: 'JSON',
  details: 'JSON',
  context: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by filename desc) = 1;

create or replace temp table gone as
select gid as gone_gid, file_time(changed_at) as gone_at from deletions where is_deleted;

-- Whether an object was deleted after the export that its row came with; not if it was undeleted since.
create or replace temp macro is_deleted(gid, filename) as exists (
  from gone where gone_gid = gid and gone_at >= exported(filename)
);

-- While it keeps the order of rows, which it does by default, DuckDB writes a large table twice.
set variable order_before = current_setting('preserve_insertion_order');
set preserve_insertion_order = false;

set variable files = files('tasks', "full" and objects.task is not null);
create or replace table tasks as
select * exclude (filename), parse_filename(filename) as _file, exported(filename) as _exported
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
})
  || choosing('row_number() over (partition by gid order by parse_filename(filename) desc, modified_at desc) = 1'));
delete from tasks
where rowid in (
  select rowid from tasks qualify row_number() over (partition by gid order by _file desc, modified_at desc) > 1
);
alter table tasks drop column _file;
set preserve_insertion_order = getvariable('order_before');

-- A subtask goes with its parent, whether or not its own deletion is told, unless it was undeleted. The time of that tells
-- nothing: 30 days after a parent was deleted, its deletion for good is told.
insert into gone
with recursive below as (
  from gone where not exists (from tasks where gid = gone_gid and _exported > gone_at)
  union
  select gid, gone_at
  from tasks join below on (parent->>'gid') = gone_gid
  where not exists (from deletions told where told.gid = tasks.gid and not is_deleted)
)
from below;

delete from tasks where is_deleted(gid, _exported);

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
where not is_deleted(gid, filename)
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
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

-- What is within tasks, messages and teams. Of an object's rows the present ones are those of its last version, and of the
-- last export that had it: who follows it no longer is in neither. Without the objects nobody knows the last version.

create or replace temp macro of_task(gid, version, filename) as not is_deleted(gid, filename)
  and (gid is null or not exists (from tasks) or (gid, version) in (select (tasks.gid, tasks.modified_at) from tasks));
create or replace temp macro of_message(gid, version, filename) as not is_deleted(gid, filename)
  and (
    gid is null or not exists (from messages)
    or (gid, version) in (select (messages.gid, messages.modified_at) from messages)
  );

set variable files = files('stories', "full" and coalesce(objects.task, objects.message) is not null);
create or replace table stories as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  created_at: 'TIMESTAMP',
  resource_subtype: 'VARCHAR',
  text: 'VARCHAR',
  html_text: 'VARCHAR',
  is_pinned: 'BOOLEAN',
  sticker_name: 'VARCHAR',
  created_by: 'JSON',
  type: 'VARCHAR',
  is_editable: 'BOOLEAN',
  is_edited: 'BOOLEAN',
  hearted: 'BOOLEAN',
  hearts: 'JSON',
  num_hearts: 'BIGINT',
  liked: 'BOOLEAN',
  likes: 'JSON',
  num_likes: 'BIGINT',
  reaction_summary: 'JSON',
  previews: 'JSON',
  old_name: 'VARCHAR',
  new_name: 'VARCHAR',
  old_dates: 'JSON',
  new_dates: 'JSON',
  old_resource_subtype: 'VARCHAR',
  new_resource_subtype: 'VARCHAR',
  story: 'JSON',
  assignee: 'JSON',
  follower: 'JSON',
  old_section: 'JSON',
  new_section: 'JSON',
  task: 'JSON',
  project: 'JSON',
  tag: 'JSON',
  custom_field: 'JSON',
  old_text_value: 'VARCHAR',
  new_text_value: 'VARCHAR',
  old_number_value: 'DOUBLE',
  new_number_value: 'DOUBLE',
  old_enum_value: 'JSON',
  new_enum_value: 'JSON',
  old_date_value: 'JSON',
  new_date_value: 'JSON',
  old_people_value: 'JSON',
  new_people_value: 'JSON',
  old_multi_enum_values: 'JSON',
  new_multi_enum_values: 'JSON',
  new_approval_status: 'VARCHAR',
  old_approval_status: 'VARCHAR',
  duplicate_of: 'JSON',
  duplicated_from: 'JSON',
  dependency: 'JSON',
  source: 'VARCHAR',
  target: 'JSON',
  parent_type: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  message_gid: 'VARCHAR',
  message_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename) and of_message(message_gid, message_modified_at, filename)
  and not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by coalesce(task_gid, message_gid));

set variable files = files('attachments', "full" and coalesce(objects.task, objects.message) is not null);
create or replace table attachments as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  resource_subtype: 'VARCHAR',
  created_at: 'TIMESTAMP',
  permanent_url: 'VARCHAR',
  host: 'VARCHAR',
  parent: 'JSON',
  size: 'BIGINT',
  connected_to_app: 'BOOLEAN',
  parent_type: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  message_gid: 'VARCHAR',
  message_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename) and of_message(message_gid, message_modified_at, filename)
  and not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by coalesce(task_gid, message_gid));

set variable files = files('task_memberships', "full" and objects.task is not null);
set variable has_memberships = getvariable('files') is not null;
create or replace table task_memberships as
select * exclude (filename), exported(filename) as _exported
from query(reading({
  project: 'JSON',
  section: 'JSON',
  project_gid: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, project_gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('task_followers', "full" and objects.task is not null);
create or replace table task_followers as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('task_tags', "full" and objects.task is not null);
create or replace table task_tags as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('task_likes', "full" and objects.task is not null);
create or replace table task_likes as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  user: 'JSON',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('task_dependencies', "full" and objects.task is not null);
create or replace table task_dependencies as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('task_custom_fields', "full" and objects.task is not null);
create or replace table task_custom_fields as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  type: 'VARCHAR',
  enum_options: 'JSON',
  enabled: 'BOOLEAN',
  representation_type: 'VARCHAR',
  id_prefix: 'VARCHAR',
  input_restrictions: 'JSON',
  is_formula_field: 'BOOLEAN',
  date_value: 'JSON',
  enum_value: 'JSON',
  multi_enum_values: 'JSON',
  number_value: 'DOUBLE',
  text_value: 'VARCHAR',
  display_value: 'VARCHAR',
  resource_subtype: 'VARCHAR',
  description: 'VARCHAR',
  precision: 'BIGINT',
  format: 'VARCHAR',
  currency_code: 'VARCHAR',
  custom_label: 'VARCHAR',
  custom_label_position: 'VARCHAR',
  is_global_to_workspace: 'BOOLEAN',
  has_notifications_enabled: 'BOOLEAN',
  asana_created_field: 'VARCHAR',
  is_value_read_only: 'BOOLEAN',
  created_by: 'JSON',
  people_value: 'JSON',
  reference_value: 'JSON',
  html_text_value: 'VARCHAR',
  privacy_setting: 'VARCHAR',
  default_access_level: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_task(task_gid, task_modified_at, filename)
qualify row_number() over (partition by task_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by task_gid);

set variable files = files('team_members', objects.team is not null);
create or replace table team_members as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  email: 'VARCHAR',
  photo: 'JSON',
  workspaces: 'JSON',
  custom_fields: 'JSON',
  team_gid: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
where not exists (from teams) or team_gid in (select gid from teams)
qualify row_number() over (partition by team_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by team_gid);

set variable files = files('message_parents', "full" and objects.message is not null);
create or replace table message_parents as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  message_gid: 'VARCHAR',
  message_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_message(message_gid, message_modified_at, filename)
qualify row_number() over (partition by message_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by message_gid);

set variable files = files('message_followers', "full" and objects.message is not null);
create or replace table message_followers as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  message_gid: 'VARCHAR',
  message_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where of_message(message_gid, message_modified_at, filename)
qualify row_number() over (partition by message_gid, gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by message_gid);

-- Asana's lists.

set variable files = files('workspaces', "full" and "list" = 'workspaces');
create or replace table workspaces as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  email_domains: 'JSON',
  is_organization: 'BOOLEAN',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('users', "full" and "list" = 'users');
create or replace table users as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  email: 'VARCHAR',
  photo: 'JSON',
  workspaces: 'JSON',
  custom_fields: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by workspace_gid, gid order by parse_filename(filename) desc) = 1;

set variable files = files('workspace_memberships', "full" and "list" = 'workspace_memberships');
create or replace table workspace_memberships as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  user: 'JSON',
  workspace: 'JSON',
  user_task_list: 'JSON',
  is_active: 'BOOLEAN',
  is_admin: 'BOOLEAN',
  is_guest: 'BOOLEAN',
  is_view_only: 'BOOLEAN',
  vacation_dates: 'JSON',
  created_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('projects', "full" and "list" = 'projects');
create or replace table projects as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  archived: 'BOOLEAN',
  color: 'VARCHAR',
  icon: 'VARCHAR',
  created_at: 'TIMESTAMP',
  current_status: 'JSON',
  current_status_update: 'JSON',
  custom_field_settings: 'JSON',
  default_view: 'VARCHAR',
  due_date: 'DATE',
  due_on: 'DATE',
  html_notes: 'VARCHAR',
  members: 'JSON',
  modified_at: 'TIMESTAMP',
  notes: 'VARCHAR',
  public: 'BOOLEAN',
  privacy_setting: 'VARCHAR',
  start_on: 'DATE',
  default_access_level: 'VARCHAR',
  minimum_access_level_for_customization: 'VARCHAR',
  minimum_access_level_for_sharing: 'VARCHAR',
  custom_fields: 'JSON',
  completed: 'BOOLEAN',
  completed_at: 'TIMESTAMP',
  completed_by: 'JSON',
  followers: 'JSON',
  owner: 'JSON',
  team: 'JSON',
  permalink_url: 'VARCHAR',
  project_brief: 'JSON',
  created_from_template: 'JSON',
  workspace: 'JSON',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('sections', "full" and "list" = 'sections');
create or replace table sections as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  created_at: 'TIMESTAMP',
  project: 'JSON',
  projects: 'JSON',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('tags', "full" and "list" = 'tags');
create or replace table tags as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  color: 'VARCHAR',
  notes: 'VARCHAR',
  created_at: 'TIMESTAMP',
  followers: 'JSON',
  workspace: 'JSON',
  permalink_url: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('custom_fields', "full" and "list" = 'custom_fields');
create or replace table custom_fields as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  type: 'VARCHAR',
  enum_options: 'JSON',
  enabled: 'BOOLEAN',
  representation_type: 'VARCHAR',
  id_prefix: 'VARCHAR',
  input_restrictions: 'JSON',
  is_formula_field: 'BOOLEAN',
  date_value: 'JSON',
  enum_value: 'JSON',
  multi_enum_values: 'JSON',
  number_value: 'DOUBLE',
  text_value: 'VARCHAR',
  display_value: 'VARCHAR',
  resource_subtype: 'VARCHAR',
  description: 'VARCHAR',
  precision: 'BIGINT',
  format: 'VARCHAR',
  currency_code: 'VARCHAR',
  custom_label: 'VARCHAR',
  custom_label_position: 'VARCHAR',
  is_global_to_workspace: 'BOOLEAN',
  has_notifications_enabled: 'BOOLEAN',
  asana_created_field: 'VARCHAR',
  is_value_read_only: 'BOOLEAN',
  created_by: 'JSON',
  people_value: 'JSON',
  reference_value: 'JSON',
  html_text_value: 'VARCHAR',
  privacy_setting: 'VARCHAR',
  default_access_level: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('portfolios', "full" and "list" = 'portfolios');
create or replace table portfolios as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  archived: 'BOOLEAN',
  color: 'VARCHAR',
  start_on: 'DATE',
  due_on: 'DATE',
  default_access_level: 'VARCHAR',
  created_at: 'TIMESTAMP',
  created_by: 'JSON',
  custom_field_settings: 'JSON',
  current_status_update: 'JSON',
  custom_fields: 'JSON',
  members: 'JSON',
  owner: 'JSON',
  workspace: 'JSON',
  permalink_url: 'VARCHAR',
  public: 'BOOLEAN',
  privacy_setting: 'VARCHAR',
  project_templates: 'JSON',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('portfolio_items', "full" and "list" = 'portfolio_items');
create or replace table portfolio_items as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  archived: 'BOOLEAN',
  color: 'VARCHAR',
  start_on: 'DATE',
  due_on: 'DATE',
  default_access_level: 'VARCHAR',
  created_at: 'TIMESTAMP',
  created_by: 'JSON',
  custom_field_settings: 'JSON',
  current_status_update: 'JSON',
  custom_fields: 'JSON',
  members: 'JSON',
  owner: 'JSON',
  workspace: 'JSON',
  permalink_url: 'VARCHAR',
  public: 'BOOLEAN',
  privacy_setting: 'VARCHAR',
  project_templates: 'JSON',
  icon: 'VARCHAR',
  current_status: 'JSON',
  default_view: 'VARCHAR',
  due_date: 'DATE',
  html_notes: 'VARCHAR',
  modified_at: 'TIMESTAMP',
  notes: 'VARCHAR',
  minimum_access_level_for_customization: 'VARCHAR',
  minimum_access_level_for_sharing: 'VARCHAR',
  completed: 'BOOLEAN',
  completed_at: 'TIMESTAMP',
  completed_by: 'JSON',
  followers: 'JSON',
  team: 'JSON',
  project_brief: 'JSON',
  created_from_template: 'JSON',
  portfolio_gid: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by portfolio_gid, gid order by parse_filename(filename) desc) = 1;

set variable files = files('goals', "full" and "list" = 'goals');
create or replace table goals as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  html_notes: 'VARCHAR',
  notes: 'VARCHAR',
  due_on: 'VARCHAR',
  start_on: 'VARCHAR',
  is_workspace_level: 'BOOLEAN',
  liked: 'BOOLEAN',
  likes: 'JSON',
  num_likes: 'BIGINT',
  team: 'JSON',
  workspace: 'JSON',
  followers: 'JSON',
  time_period: 'JSON',
  metric: 'JSON',
  owner: 'JSON',
  current_status_update: 'JSON',
  status: 'VARCHAR',
  privacy_setting: 'VARCHAR',
  default_access_level: 'VARCHAR',
  custom_fields: 'JSON',
  custom_field_settings: 'JSON',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('time_periods', "full" and "list" = 'time_periods');
create or replace table time_periods as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  end_on: 'VARCHAR',
  start_on: 'VARCHAR',
  period: 'VARCHAR',
  display_name: 'VARCHAR',
  parent: 'JSON',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('project_templates', "full" and "list" = 'project_templates');
create or replace table project_templates as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  name: 'VARCHAR',
  description: 'VARCHAR',
  html_description: 'VARCHAR',
  public: 'BOOLEAN',
  owner: 'JSON',
  team: 'JSON',
  requested_dates: 'JSON',
  color: 'VARCHAR',
  requested_roles: 'JSON',
  workspace_gid: 'VARCHAR'
}))
where not is_deleted(gid, filename)
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('allocations', "full" and "list" = 'allocations');
create or replace table allocations as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  start_date: 'DATE',
  end_date: 'DATE',
  effort: 'JSON',
  assignee: 'JSON',
  created_by: 'JSON',
  parent: 'JSON',
  resource_subtype: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

set variable files = files('time_tracking_entries', "full" and "list" = 'time_tracking_entries');
create or replace table time_tracking_entries as
select * exclude (filename)
from query(reading({
  gid: 'VARCHAR',
  resource_type: 'VARCHAR',
  duration_minutes: 'BIGINT',
  entered_on: 'DATE',
  attributable_to: 'JSON',
  created_by: 'JSON',
  categories: 'JSON',
  task: 'JSON',
  created_at: 'TIMESTAMP',
  approval_status: 'VARCHAR',
  billable_status: 'VARCHAR',
  description: 'VARCHAR',
  workspace_gid: 'VARCHAR'
}))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1;

-- Memberships are those of the last export that had the task, and what events tell of since. Where nothing is told they stay.
set variable is_told = (select count(*) > 0 from (select gid from events union all select gone_gid from gone));

create or replace temp table memberships as
select distinct on (task_gid, project->>'gid') *
from (
  select gid as task_gid, membership->'project' as project, membership->'section' as section, _exported as known_at
  from tasks, unnest(from_json(memberships, '["json"]')) as _(membership)
  union all by name
  select task_gid, project, section, _exported as known_at from task_memberships
)
where getvariable('is_told')
order by known_at desc;

-- An event does not tell which project a section is in.
create or replace temp table places as
select distinct on (place_gid) *
from (
  select section->>'gid' as place_gid, project from memberships
  union all
  select gid, project from sections
  union all
  select parent->>'gid', parent from events where (parent->>'resource_type') = 'project'
)
where place_gid is not null;

create or replace temp table known as
select distinct on (gid) *
from (
  select gid, modified_at, workspace_gid, _exported from tasks
  union all
  select task_gid, task_modified_at, workspace_gid, _exported from task_memberships
)
where getvariable('is_told')
order by _exported desc;

create or replace temp table moves as
select
  gid as task_gid,
  project,
  if((parent->>'resource_type') = 'section', parent, null) as section,
  action = 'added' as is_in,
  file_time(events.created_at) as known_at
from (select * exclude (gid) from events) as events
join known on gid = (resource->>'gid') and file_time(events.created_at) > _exported
join places on place_gid = (parent->>'gid')
where action in ('added', 'removed');

-- All memberships, past ones too, of the tasks that were moved, or that have lost a project. In a project a task has one section.
create or replace temp table moved as
with latest as (
  select
    task_gid,
    project->>'gid' as project_gid,
    any_value(project) as project,
    any_value(section) as section,
    arg_max(is_in, (known_at, is_in)) as is_in,
    max(known_at) as known_at
  from (
    select task_gid, project, null as section, true as is_in, known_at from memberships
    union all
    select task_gid, project, section, true, known_at from memberships where section is not null
    union all
    from moves
  )
  where task_gid in (
    select task_gid from moves
    union all
    select task_gid from memberships where is_deleted(project->>'gid', known_at)
  )
  group by task_gid, project_gid, section->>'gid'
)
select
  task_gid,
  project_gid,
  any_value(project) as project,
  arg_max(section, known_at) filter (section is not null and is_in) as section,
  max(known_at) as known_at,
  coalesce(bool_or(is_in) filter (section is null), bool_or(is_in)) as is_in
from latest
group by all;
update moved set is_in = false where is_deleted(project_gid, known_at);

update tasks
set
  memberships = if(tasks.memberships is null, null, now_in.memberships),
  projects = if(tasks.projects is null, null, now_in.projects)
from (
  select
    task_gid,
    coalesce(to_json(list({project: project, section: section}) filter (is_in)), '[]') as memberships,
    coalesce(to_json(list(project) filter (is_in)), '[]') as projects
  from moved
  group by all
) as now_in
where gid = task_gid;

delete from task_memberships where task_gid in (select task_gid from moved);
insert into task_memberships by name
select project, section, project_gid, task_gid, modified_at as task_modified_at, workspace_gid
from moved
join known on gid = task_gid
where is_in and getvariable('has_memberships');

alter table tasks drop column _exported;
alter table task_memberships drop column _exported;

-- Tasks and messages that the last full export does not have any more though nothing told of their deletion: the files from
-- the full export before it on are read once more. Where deletions are not told at all, none is missed.

create or replace temp macro files_before(stream, is_full) as (
  select list(file)
  from batch_files(stream)
  join (
    select workspace_gid, list(distinct file_time(created_at)).list_reverse_sort() as full
    from exports
    where is_full
    group by all
  ) on workspace_gid = split_part(file, '/', -2)
  where exported(file) < "full"[1] and exported(file) >= coalesce("full"[2], '') and exists (from deletions)
);

create or replace temp macro missed(present) as table (
  with recursive past as (
    select distinct on (gid) gid, resource_type, coalesce(name, title) as name, parent->>'gid' as parent_gid, workspace_gid
    from query(reading({
      gid: 'VARCHAR',
      resource_type: 'VARCHAR',
      name: 'VARCHAR',
      title: 'VARCHAR',
      parent: 'JSON',
      workspace_gid: 'VARCHAR'
    }))
    order by parse_filename(filename) desc
  ), told as (
    select gone_gid as told_gid from gone
    union
    select gid from past join told on parent_gid = told_gid
  )
  select * exclude (parent_gid)
  from past
  where gid not in (select gid from query_table(present)) and gid not in (select told_gid from told)
);

set variable files = files_before('tasks', "full" and objects.task is not null);
create or replace table missed_deletions as from missed('tasks');

set variable files = files_before('messages', "full" and objects.message is not null);
insert into missed_deletions from missed('messages');

drop table temp.gone;
drop table temp.memberships;
drop table temp.places;
drop table temp.known;
drop table temp.moves;
drop table temp.moved;
