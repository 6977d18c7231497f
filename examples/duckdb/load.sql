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

-- What is within tasks, messages and teams. Of an object's rows the present ones are those of its last version, and of the
-- last export that had it: who follows it no longer is in neither. Without the objects nobody knows the last version.

-- The time of a file's export.
create or replace temp macro exported(filename) as split_part(parse_filename(filename), '-', 1);

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
where (task_gid is null or not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks))
  and (message_gid is null or not exists (from messages) or (message_gid, message_modified_at) in (select (gid, modified_at) from messages))
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
where (task_gid is null or not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks))
  and (message_gid is null or not exists (from messages) or (message_gid, message_modified_at) in (select (gid, modified_at) from messages))
qualify row_number() over (partition by gid order by parse_filename(filename) desc) = 1
  and exported(filename) = max(exported(filename)) over (partition by coalesce(task_gid, message_gid));

set variable files = files('task_memberships', "full" and objects.task is not null);
create or replace table task_memberships as
select * exclude (filename)
from query(reading({
  project: 'JSON',
  section: 'JSON',
  project_gid: 'VARCHAR',
  task_gid: 'VARCHAR',
  task_modified_at: 'TIMESTAMP',
  workspace_gid: 'VARCHAR'
}))
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from tasks) or (task_gid, task_modified_at) in (select (gid, modified_at) from tasks)
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
where not exists (from messages) or (message_gid, message_modified_at) in (select (gid, modified_at) from messages)
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
where not exists (from messages) or (message_gid, message_modified_at) in (select (gid, modified_at) from messages)
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
