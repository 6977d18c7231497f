"""The committed schemas, held to lists that were written from Asana's documentation, and their script."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from tests.support.graphs import STREAMS as GRAPHS
from tests.support.organizations import parameters
from tests.support.tap import WORKSPACE, Run, select, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox import Sandbox

Schema = dict[str, Any]

ROOT = Path(__file__).parents[1]

PROPERTIES = {
    "exports": """
        gid job_gid kind list workspace_gid parent_gid created_at completed_at full objects lines bytes unknown_fields
    """,
    "tasks": """
        gid resource_type name resource_subtype created_by approval_status assignee_status assigned_by
        completed completed_at completed_by created_at dependencies dependents due_at due_on external
        html_notes hearted hearts is_rendered_as_separator liked likes memberships modified_at notes
        num_hearts num_likes num_subtasks start_at start_on actual_time_minutes assignee assignee_section
        custom_fields custom_type custom_type_status_option followers parent projects tags workspace
        permalink_url
        attachments stories workspace_gid
    """,
    "teams": """
        gid resource_type name description html_description organization permalink_url visibility
        edit_team_name_or_description_access_level edit_team_visibility_or_trash_team_access_level
        member_invite_management_access_level guest_invite_management_access_level
        join_request_management_access_level team_member_removal_access_level
        team_content_management_access_level endorsed custom_field_settings members workspace_gid
    """,
    "messages": """
        gid resource_type resource_subtype status_type created_by created_at modified_at title text html_notes
        num_likes likes stories attachments followers parents workspace_gid
    """,
    "stories": """
        gid resource_type created_at resource_subtype text html_text is_pinned sticker_name created_by type
        is_editable is_edited hearted hearts num_hearts liked likes num_likes reaction_summary previews old_name
        new_name old_dates new_dates old_resource_subtype new_resource_subtype story assignee follower old_section
        new_section task project tag custom_field old_text_value new_text_value old_number_value new_number_value
        old_enum_value new_enum_value old_date_value new_date_value old_people_value new_people_value
        old_multi_enum_values new_multi_enum_values new_approval_status old_approval_status duplicate_of
        duplicated_from dependency source target
        parent_type task_gid task_modified_at message_gid message_modified_at workspace_gid
    """,
    "attachments": """
        gid resource_type name resource_subtype created_at permanent_url host parent size connected_to_app
        parent_type task_gid task_modified_at message_gid message_modified_at workspace_gid
    """,
    "task_memberships": "project section project_gid task_gid task_modified_at workspace_gid",
    "task_followers": "gid resource_type name task_gid task_modified_at workspace_gid",
    "task_tags": "gid resource_type name task_gid task_modified_at workspace_gid",
    "task_likes": "gid user task_gid task_modified_at workspace_gid",
    "task_dependencies": "gid resource_type task_gid task_modified_at workspace_gid",
    "task_custom_fields": """
        gid resource_type name type enum_options enabled representation_type id_prefix input_restrictions
        is_formula_field date_value enum_value multi_enum_values number_value text_value display_value resource_subtype
        description precision format currency_code custom_label custom_label_position is_global_to_workspace
        has_notifications_enabled asana_created_field is_value_read_only created_by people_value reference_value
        html_text_value privacy_setting default_access_level
        task_gid task_modified_at workspace_gid
    """,
    "team_members": "gid resource_type name email photo workspaces custom_fields team_gid workspace_gid",
    "message_parents": "gid resource_type name message_gid message_modified_at workspace_gid",
    "message_followers": "gid resource_type name message_gid message_modified_at workspace_gid",
    "graph_portfolios": """
        gid resource_type name archived color start_on due_on default_access_level created_at created_by
        custom_field_settings current_status_update custom_fields members owner workspace permalink_url public
        privacy_setting project_templates
        parent_gid
    """,
    "graph_projects": """
        gid resource_type name archived color icon created_at current_status current_status_update
        custom_field_settings default_view due_date due_on html_notes members modified_at notes public privacy_setting
        start_on default_access_level minimum_access_level_for_customization minimum_access_level_for_sharing
        custom_fields completed completed_at completed_by followers owner team permalink_url project_brief
        created_from_template workspace
        parent_gid
    """,
    "graph_sections": "gid resource_type name created_at project projects parent_gid",
    "graph_tasks": """
        gid resource_type name resource_subtype created_by approval_status assignee_status assigned_by completed
        completed_at completed_by created_at dependencies dependents due_at due_on external html_notes hearted hearts
        is_rendered_as_separator liked likes memberships modified_at notes num_hearts num_likes num_subtasks start_at
        start_on actual_time_minutes assignee assignee_section custom_fields custom_type custom_type_status_option
        followers parent projects tags workspace permalink_url
        parent_gid
    """,
    "graph_allocations": """
        gid resource_type start_date end_date effort assignee created_by parent resource_subtype
        parent_gid
    """,
    "graph_time_tracking_entries": """
        gid resource_type duration_minutes entered_on attributable_to created_by categories task created_at
        approval_status billable_status description
        parent_gid
    """,
    "graph_portfolio_to_portfolio": "gid resource_type parent_portfolio child_portfolio parent_gid",
    "graph_project_to_portfolio": "gid resource_type project portfolio parent_gid",
    "workspaces": """
        gid resource_type name email_domains is_organization workspace_gid
    """,
    "users": """
        gid resource_type name email photo workspaces custom_fields workspace_gid
    """,
    "workspace_memberships": """
        gid resource_type user workspace user_task_list is_active is_admin is_guest is_view_only
        vacation_dates created_at workspace_gid
    """,
    "projects": """
        gid resource_type name archived color icon created_at current_status current_status_update
        custom_field_settings default_view due_date due_on html_notes members modified_at notes public
        privacy_setting start_on default_access_level minimum_access_level_for_customization
        minimum_access_level_for_sharing custom_fields completed completed_at completed_by followers owner
        team permalink_url project_brief created_from_template workspace workspace_gid
    """,
    "sections": """
        gid resource_type name created_at project projects workspace_gid
    """,
    "tags": """
        gid resource_type name color notes created_at followers workspace permalink_url workspace_gid
    """,
    "custom_fields": """
        gid resource_type name type enum_options enabled representation_type id_prefix input_restrictions
        is_formula_field date_value enum_value multi_enum_values number_value text_value display_value
        resource_subtype description precision format currency_code custom_label custom_label_position
        is_global_to_workspace has_notifications_enabled asana_created_field is_value_read_only created_by
        people_value reference_value html_text_value privacy_setting default_access_level workspace_gid
    """,
    "portfolios": """
        gid resource_type name archived color start_on due_on default_access_level created_at created_by
        custom_field_settings current_status_update custom_fields members owner workspace permalink_url public
        privacy_setting project_templates workspace_gid
    """,
    "portfolio_items": """
        gid resource_type name archived color start_on due_on default_access_level created_at created_by
        custom_field_settings current_status_update custom_fields members owner workspace permalink_url public
        privacy_setting project_templates icon current_status default_view due_date html_notes modified_at
        notes minimum_access_level_for_customization minimum_access_level_for_sharing completed completed_at
        completed_by followers team project_brief created_from_template portfolio_gid workspace_gid
    """,
    "goals": """
        gid resource_type name html_notes notes due_on start_on is_workspace_level liked likes num_likes team
        workspace followers time_period metric owner current_status_update status privacy_setting
        default_access_level custom_fields custom_field_settings workspace_gid
    """,
    "time_periods": """
        gid resource_type end_on start_on period display_name parent workspace_gid
    """,
    "project_templates": """
        gid resource_type name description html_description public owner team requested_dates color
        requested_roles workspace_gid
    """,
    "allocations": """
        gid resource_type start_date end_date effort assignee created_by parent resource_subtype workspace_gid
    """,
    "time_tracking_entries": """
        gid resource_type duration_minutes entered_on attributable_to created_by categories task created_at
        approval_status billable_status description workspace_gid
    """,
    "deletions": "gid resource_type is_deleted changed_at actor_gid source workspace_gid",
    "events": "user resource type action parent created_at change gid workspace_gid",
    "audit_log_events": "gid created_at event_type event_category actor resource details context workspace_gid",
}

KEYS = {
    "exports": "gid",
    "tasks": "gid",
    "teams": "gid",
    "messages": "gid",
    "stories": "gid",
    "attachments": "gid",
    "task_memberships": "project_gid task_gid",
    "task_followers": "gid task_gid",
    "task_tags": "gid task_gid",
    "task_likes": "gid task_gid",
    "task_dependencies": "gid task_gid",
    "task_custom_fields": "gid task_gid",
    "team_members": "gid team_gid",
    "message_parents": "gid message_gid",
    "message_followers": "gid message_gid",
    "graph_portfolios": "gid parent_gid",
    "graph_projects": "gid parent_gid",
    "graph_sections": "gid parent_gid",
    "graph_tasks": "gid parent_gid",
    "graph_allocations": "gid parent_gid",
    "graph_time_tracking_entries": "gid parent_gid",
    "graph_portfolio_to_portfolio": "gid parent_gid",
    "graph_project_to_portfolio": "gid parent_gid",
    "workspaces": "gid",
    "users": "gid workspace_gid",
    "workspace_memberships": "gid",
    "projects": "gid",
    "sections": "gid",
    "tags": "gid",
    "custom_fields": "gid",
    "portfolios": "gid",
    "portfolio_items": "gid portfolio_gid",
    "goals": "gid",
    "time_periods": "gid",
    "project_templates": "gid",
    "allocations": "gid",
    "time_tracking_entries": "gid",
    "deletions": "gid",
    "events": "gid",
    "audit_log_events": "gid",
}


def under(path: str, fields: str) -> str:
    """Put a path before each of the fields."""
    return " ".join(f"{path}.{field}" for field in fields.split())


CUSTOM_FIELD = """
    date_value date_value.date date_value.date_time display_value enabled enum_options enum_options.color
    enum_options.enabled enum_options.name enum_value enum_value.color enum_value.enabled enum_value.name id_prefix
    input_restrictions is_formula_field multi_enum_values multi_enum_values.color multi_enum_values.enabled
    multi_enum_values.name name number_value representation_type resource_subtype text_value type
"""
CUSTOM_FIELD_WHOLE = f"""
    asana_created_field created_by created_by.name currency_code custom_label custom_label_position
    default_access_level description format has_notifications_enabled html_text_value is_global_to_workspace
    is_value_read_only people_value people_value.name precision privacy_setting reference_value reference_value.name
    {CUSTOM_FIELD}
"""
ATTACHMENT_FIELDS = """
    connected_to_app created_at host name parent parent.created_by parent.name parent.resource_subtype permanent_url
    resource_subtype size
"""
STORY_FIELDS = f"""
    assignee created_at created_by custom_field dependency duplicate_of duplicated_from follower hearted hearts
    html_text is_editable is_edited is_pinned liked likes new_approval_status new_date_value new_dates new_enum_value
    new_multi_enum_values new_name new_number_value new_people_value new_resource_subtype new_section new_text_value
    num_hearts num_likes old_approval_status old_date_value old_dates old_enum_value old_multi_enum_values old_name
    old_number_value old_people_value old_resource_subtype old_section old_text_value previews project
    reaction_summary resource_subtype source sticker_name story tag target task text type assignee.name
    created_by.name dependency.created_by dependency.name dependency.resource_subtype duplicate_of.created_by
    duplicate_of.name duplicate_of.resource_subtype duplicated_from.created_by duplicated_from.name
    duplicated_from.resource_subtype follower.name hearts.user hearts.user.name likes.user likes.user.name
    new_date_value.due_at new_date_value.due_on new_date_value.start_on new_dates.due_at new_dates.due_on
    new_dates.start_on new_enum_value.color new_enum_value.enabled new_enum_value.name new_multi_enum_values.color
    new_multi_enum_values.enabled new_multi_enum_values.name new_people_value.name new_section.name
    old_date_value.due_at old_date_value.due_on old_date_value.start_on old_dates.due_at old_dates.due_on
    old_dates.start_on old_enum_value.color old_enum_value.enabled old_enum_value.name old_multi_enum_values.color
    old_multi_enum_values.enabled old_multi_enum_values.name old_people_value.name old_section.name previews.fallback
    previews.footer previews.header previews.header_link previews.html_text previews.text previews.title
    previews.title_link project.name reaction_summary.count reaction_summary.emoji_base reaction_summary.reacted
    reaction_summary.variant story.created_at story.created_by story.created_by.name story.resource_subtype story.text
    tag.name target.created_by target.name target.resource_subtype task.created_by task.name task.resource_subtype
    {under("custom_field", CUSTOM_FIELD)}
"""
TASK_NESTED = f"""
    assigned_by.name assignee.name assignee_section.name completed_by.name custom_type.name
    custom_type_status_option.name external.data followers.name hearts.user hearts.user.name likes.user
    likes.user.name memberships.project memberships.project.name memberships.section memberships.section.name
    parent.created_by parent.name parent.resource_subtype projects.name tags.name workspace.name
    {under("custom_fields", CUSTOM_FIELD_WHOLE)}
"""
USER_FIELDS = f"""
    custom_fields email name photo photo.image_1024x1024 photo.image_128x128 photo.image_21x21 photo.image_27x27
    photo.image_36x36 photo.image_60x60 workspaces workspaces.name
    {under("custom_fields", CUSTOM_FIELD)}
"""

# The nested paths that Asana lists for `opt_fields`, but for gid and resource_type, which it sends unasked:
# https://developers.asana.com/reference, GET of one object. It lists none of messages and relations, which are no
# objects of the API, of a story's `…_date_value` and of a project's `owner`.
NESTED = {
    "tasks": f"""
        {TASK_NESTED}
        {under("attachments", ATTACHMENT_FIELDS)}
        {under("stories", STORY_FIELDS)}
    """,
    "teams": f"""
        custom_field_settings.custom_field custom_field_settings.is_important custom_field_settings.parent
        custom_field_settings.parent.name custom_field_settings.project custom_field_settings.project.name
        organization.name
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
        {under("members", USER_FIELDS)}
    """,
    "messages": f"""
        created_by.name followers.name parents.name likes.user likes.user.name
        {under("attachments", ATTACHMENT_FIELDS)}
        {under("stories", STORY_FIELDS)}
    """,
    "graph_portfolios": f"""
        created_by.name current_status_update.resource_subtype current_status_update.title
        custom_field_settings.custom_field custom_field_settings.is_important custom_field_settings.parent
        custom_field_settings.parent.name custom_field_settings.project custom_field_settings.project.name
        members.name owner.name project_templates.name workspace.name
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
    """,
    "graph_projects": f"""
        completed_by.name created_from_template.name current_status.author current_status.author.name
        current_status.color current_status.created_at current_status.created_by current_status.created_by.name
        current_status.html_text current_status.modified_at current_status.text current_status.title
        current_status_update.resource_subtype current_status_update.title custom_field_settings.custom_field
        custom_field_settings.is_important custom_field_settings.parent custom_field_settings.parent.name
        custom_field_settings.project custom_field_settings.project.name followers.name members.name owner.name
        team.name workspace.name
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
    """,
    "graph_sections": "project.name projects.name",
    "graph_tasks": TASK_NESTED,
    "graph_allocations": "assignee.name created_by.name effort.type effort.value parent.name",
    "graph_time_tracking_entries": """
        attributable_to.name categories.color categories.name created_by.name task.created_by task.name
        task.resource_subtype
    """,
    "graph_portfolio_to_portfolio": "parent_portfolio.name child_portfolio.name",
    "graph_project_to_portfolio": "project.name portfolio.name",
    "users": f"""
        photo.image_1024x1024 photo.image_128x128 photo.image_21x21 photo.image_27x27 photo.image_36x36
        photo.image_60x60 workspaces.name
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
    """,
    "workspace_memberships": """
        user.name user_task_list.name user_task_list.owner user_task_list.owner.name user_task_list.workspace
        user_task_list.workspace.name vacation_dates.end_on vacation_dates.start_on workspace.name
    """,
    "projects": f"""
        completed_by.name created_from_template.name current_status.author current_status.author.name
        current_status.color current_status.created_at current_status.created_by
        current_status.created_by.name current_status.html_text current_status.modified_at current_status.text
        current_status.title current_status_update.resource_subtype current_status_update.title
        custom_field_settings.custom_field custom_field_settings.is_important custom_field_settings.parent
        custom_field_settings.parent.name custom_field_settings.project custom_field_settings.project.name
        followers.name members.name owner.name team.name workspace.name
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
    """,
    "sections": """
        project.name projects.name
    """,
    "tags": """
        followers.name workspace.name
    """,
    "custom_fields": """
        created_by.name date_value.date date_value.date_time enum_options.color enum_options.enabled
        enum_options.name enum_value.color enum_value.enabled enum_value.name multi_enum_values.color
        multi_enum_values.enabled multi_enum_values.name people_value.name reference_value.name
    """,
    "portfolios": f"""
        created_by.name current_status_update.resource_subtype current_status_update.title
        custom_field_settings.custom_field custom_field_settings.is_important custom_field_settings.parent
        custom_field_settings.parent.name custom_field_settings.project custom_field_settings.project.name
        members.name owner.name project_templates.name workspace.name
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
    """,
    "portfolio_items": f"""
        completed_by.name created_by.name created_from_template.name current_status.author
        current_status.author.name current_status.color current_status.created_at current_status.created_by
        current_status.created_by.name current_status.html_text current_status.modified_at current_status.text
        current_status.title current_status_update.resource_subtype current_status_update.title
        custom_field_settings.custom_field custom_field_settings.is_important custom_field_settings.parent
        custom_field_settings.parent.name custom_field_settings.project custom_field_settings.project.name
        followers.name members.name owner.name project_templates.name team.name workspace.name
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
    """,
    "goals": f"""
        current_status_update.resource_subtype current_status_update.title custom_field_settings.custom_field
        custom_field_settings.is_important custom_field_settings.parent custom_field_settings.parent.name
        custom_field_settings.project custom_field_settings.project.name followers.name likes.user
        likes.user.name metric.can_manage metric.currency_code metric.current_display_value
        metric.current_number_value metric.initial_number_value metric.is_custom_weight metric.precision
        metric.progress_source metric.resource_subtype metric.target_number_value metric.unit owner.name
        team.name time_period.display_name time_period.end_on time_period.period time_period.start_on
        workspace.name
        {under("custom_fields", CUSTOM_FIELD_WHOLE)}
        {under("custom_field_settings.custom_field", CUSTOM_FIELD_WHOLE)}
    """,
    "time_periods": """
        parent.display_name parent.end_on parent.period parent.start_on
    """,
    "project_templates": """
        owner.name requested_dates.description requested_dates.name requested_roles.name team.name
    """,
    "allocations": """
        assignee.name created_by.name effort.type effort.value parent.name
    """,
    "time_tracking_entries": """
        attributable_to.name categories.color categories.name created_by.name task.created_by task.name
        task.resource_subtype
    """,
    "events": """
        user.name resource.name parent.name change.field change.action change.new_value change.added_value
        change.removed_value
    """,
    "audit_log_events": """
        actor.actor_type actor.name actor.email resource.resource_subtype resource.name resource.email details.old_value
        details.new_value details.group details.saml_response context.context_type context.api_authentication_method
        context.client_ip_address context.user_agent context.oauth_app_name context.rule_name
        context.on_behalf_of_user_id
    """,
}

OPT_IN = {
    "tasks": """
        created_by assigned_by dependencies dependents external html_notes is_rendered_as_separator
        num_subtasks custom_fields[].description parent.created_by attachments[].parent.created_by
        stories[].html_text stories[].task.created_by stories[].duplicate_of.created_by
        stories[].duplicated_from.created_by stories[].dependency.created_by stories[].target.created_by
    """,
    "teams": """
        description html_description custom_field_settings[].custom_field.description
    """,
    "messages": """
        html_notes attachments[].parent.created_by
        stories[].html_text stories[].task.created_by stories[].duplicate_of.created_by
        stories[].duplicated_from.created_by stories[].dependency.created_by stories[].target.created_by
    """,
    "stories": """
        html_text task.created_by duplicate_of.created_by duplicated_from.created_by dependency.created_by
        target.created_by
    """,
    "attachments": "parent.created_by",
    "task_custom_fields": "description",
    "users": "custom_fields[].description",
    "projects": """
        html_notes project_brief created_from_template current_status.html_text custom_fields[].description
        custom_field_settings[].custom_field.description
    """,
    "custom_fields": "description",
    "portfolios": "archived custom_fields[].description custom_field_settings[].custom_field.description",
    "portfolio_items": """
        html_notes project_brief created_from_template current_status.html_text custom_fields[].description
        custom_field_settings[].custom_field.description
    """,
    "goals": "custom_fields[].description custom_field_settings[].custom_field.description",
    "time_tracking_entries": "task.created_by",
}

TEXT = {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
BOOLEAN = {"type": ["boolean", "null"]}
DATE = {"type": ["string", "null"], "format": "date"}
TIME = {"type": ["string", "null"], "format": "date-time"}


def an_object(**properties: Schema) -> Schema:
    """Spell out a nullable, open object."""
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": True}


def an_array(items: Schema) -> Schema:
    """Spell out a nullable array."""
    return {"type": ["array", "null"], "items": items}


RESOURCE = an_object(gid=TEXT, resource_type=TEXT)
NAMED = an_object(gid=TEXT, resource_type=TEXT, name=TEXT)
ENUM_OPTION = an_object(gid=TEXT, resource_type=TEXT, name=TEXT, enabled=BOOLEAN, color=TEXT)
TASK = an_object(
    gid=TEXT,
    resource_type=TEXT,
    name=TEXT,
    resource_subtype=TEXT,
    created_by={**RESOURCE, "x-asana-opt-in": True},
)

KEY = {"type": "string"}
OF_TASK = {"task_gid": TEXT, "task_modified_at": TIME, "workspace_gid": TEXT}
OF_MESSAGE = {"message_gid": TEXT, "message_modified_at": TIME, "workspace_gid": TEXT}
OF_BOTH = {"parent_type": TEXT, **OF_TASK, **OF_MESSAGE}

# By part: the arrays that it is cut from, and what its records have besides, keys apart.
PARTS: dict[str, tuple[str, Schema]] = {
    "stories": ("tasks.stories messages.stories", OF_BOTH),
    "attachments": ("tasks.attachments messages.attachments", OF_BOTH),
    "task_memberships": ("tasks.memberships", OF_TASK),
    "task_followers": ("tasks.followers", OF_TASK),
    "task_tags": ("tasks.tags", OF_TASK),
    "task_likes": ("tasks.likes", OF_TASK),
    "task_dependencies": ("tasks.dependencies", OF_TASK),
    "task_custom_fields": ("tasks.custom_fields", OF_TASK),
    "team_members": ("teams.members", {"workspace_gid": TEXT}),
    "message_parents": ("messages.parents", OF_MESSAGE),
    "message_followers": ("messages.followers", OF_MESSAGE),
}

DEEP = {
    "tasks parent": {"description": "The parent of this task, or null if this is not a subtask.", **TASK},
    "tasks memberships[]": an_object(project=NAMED, section=NAMED),
    "tasks custom_fields[].date_value": an_object(date=TEXT, date_time=TEXT),
    "tasks custom_fields[].enum_value": ENUM_OPTION,
    "tasks custom_fields[].description": {**TEXT, "x-asana-opt-in": True},
    "tasks custom_fields[].number_value": NUMBER,
    "tasks custom_fields[].precision": {"type": ["integer", "null"]},
    "tasks custom_fields[].input_restrictions": an_array(TEXT),
    "tasks attachments[]": an_object(
        gid=TEXT,
        resource_type=TEXT,
        name=TEXT,
        resource_subtype=TEXT,
        created_at=TIME,
        permanent_url=TEXT,
        host=TEXT,
        parent=TASK,
        size={"type": ["integer", "null"]},
        connected_to_app=BOOLEAN,
    ),
    "tasks stories[].old_number_value": NUMBER,
    "tasks stories[].new_number_value": NUMBER,
    "tasks stories[].new_dates": an_object(start_on=DATE, due_at=TIME, due_on=DATE),
    "tasks stories[].custom_field.enum_options": an_array(ENUM_OPTION),
    "tasks stories[].target": TASK,
    "teams custom_field_settings[].custom_field.people_value": an_array(NAMED),
    "teams members[].email": TEXT,
    "teams members[].workspaces": an_array(NAMED),
    "messages likes[]": an_object(gid=TEXT, user=NAMED),
    "messages followers[]": NAMED,
    "messages parents[]": NAMED,
    "messages stories[].created_by": NAMED,
    "messages attachments[].parent": TASK,
    "graph_portfolios members": {"description": "Members.", **an_array(NAMED)},
    "graph_projects current_status.modified_at": TIME,
    "graph_sections project.name": TEXT,
    "graph_tasks external": {
        "description": "This field is returned only if external values are set or included by using Opt In.",
        **an_object(gid=TEXT, data=TEXT),
    },
    "graph_allocations effort.value": NUMBER,
    "graph_allocations start_date": {"description": "The localized day on which the allocation starts.", **DATE},
    "graph_time_tracking_entries categories[].color": TEXT,
    "graph_portfolio_to_portfolio child_portfolio": {
        "description": "The portfolio that is in the other one.",
        **NAMED,
    },
    "graph_project_to_portfolio portfolio": {"description": "The portfolio that holds the project.", **NAMED},
}


def load(stream: str) -> Schema:
    """Read a stream's committed schema."""
    schema: Schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text(encoding="utf-8"))
    return schema


def below(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema within a schema, by paths such as `stories[].text`."""
    for name, value in schema.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield inner, value
        yield from below(value, inner)
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from below(schema["items"], f"{path}[]")


@pytest.fixture(params=PROPERTIES)
def stream(request: pytest.FixtureRequest) -> str:
    """Name each stream in turn."""
    name: str = request.param
    return name


def test_there_is_one_schema_per_listed_stream() -> None:
    assert {path.stem for path in (ROOT / "schemas").iterdir()} == set(PROPERTIES)


def test_every_schema_is_valid_json_schema(stream: str) -> None:
    Draft7Validator.check_schema(load(stream))


def test_the_properties_are_asanas_in_asanas_order(stream: str) -> None:
    assert list(load(stream)["properties"]) == PROPERTIES[stream].split()


@pytest.mark.parametrize("where", DEEP)
def test_objects_are_described_to_the_depth_that_asana_describes(where: str) -> None:
    name, path = where.split()
    assert dict(below(load(name)))[path] == DEEP[where]


@pytest.mark.parametrize("stream", NESTED)
def test_no_nested_field_of_asanas_is_left_out(stream: str) -> None:
    paths = {path.replace("[]", "") for path, _ in below(load(stream)) if not path.endswith("[]")}
    nested = {path for path in paths if "." in path and path.rpartition(".")[2] not in {"gid", "resource_type"}}
    assert nested == set(NESTED[stream].split())


@pytest.mark.parametrize(("part", "array"), [(part, array) for part in PARTS for array in PARTS[part][0].split()])
def test_a_part_is_its_arrays_objects_with_keys_and_columns_of_the_parent(part: str, array: str) -> None:
    parent, _, name = array.partition(".")
    items = load(parent)["properties"][name]["items"]["properties"]
    columns = load(part)["properties"]
    undescribed = {key: {**column} for key, column in columns.items()}
    for column in undescribed.values():
        del column["description"]
    assert undescribed == {**items, **PARTS[part][1], **dict.fromkeys(KEYS[part].split(), KEY)}
    assert list(columns)[: len(items)] == list(items)


def test_everything_but_the_keys_may_be_null(stream: str) -> None:
    assert sorted(path for path, schema in below(load(stream)) if "null" not in schema["type"]) == KEYS[stream].split()


def test_only_the_top_level_is_closed(stream: str) -> None:
    schema = load(stream)
    closed = [path for path, inner in below(schema) if "object" in inner["type"] and not inner["additionalProperties"]]
    assert (list(schema), closed) == (["type", "properties"], [])


def test_opt_in_fields_are_marked_at_every_depth(stream: str) -> None:
    marked = [path for path, schema in below(load(stream)) if schema.get("x-asana-opt-in")]
    assert sorted(marked) == sorted(OPT_IN.get(stream, "").split())


def test_values_are_not_limited_to_those_that_asana_knows_today(stream: str) -> None:
    keywords = {keyword for _, schema in below(load(stream)) for keyword in schema}
    known = {"type", "format", "properties", "items", "additionalProperties", "description", "x-asana-opt-in"}
    assert keywords - known == set()


def test_no_format_but_dates_and_times(stream: str) -> None:
    formats = {schema["format"] for _, schema in below(load(stream)) if "format" in schema}
    assert formats - {"date", "date-time"} == set()


def test_each_top_level_property_and_no_other_has_one_short_plain_sentence(stream: str) -> None:
    schema = load(stream)
    described = {path: inner["description"] for path, inner in below(schema) if "description" in inner}
    assert list(described) == list(schema["properties"])
    plain = r"(?=.{,120}$)(Opt in\. |Deprecated\. )*[A-Z][^][*`<>\n]*\w\W?[.…]"
    assert [text for text in described.values() if not re.fullmatch(plain, text)] == []


def test_an_export_counts_objects_of_any_type() -> None:
    validator = Draft7Validator(load("exports"))
    assert validator.is_valid({"gid": "1", "objects": {"task": 3, "of_a_type_to_come": 1}})
    assert not validator.is_valid({"gid": "1", "objects": {"task": "three"}})


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """Every property within an object, as a path without marks of arrays."""
    if isinstance(value, list):
        for item in value:
            yield from paths_of(item, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}{name}"
            yield from paths_of(inner, f"{path}{name}.")


def test_everything_that_comes_by_default_is_in_the_schema_and_asked_for_where_all_is_selected(
    sandbox: Sandbox, run_tap: Callable[..., Run], catalog: dict[str, Any]
) -> None:
    everything = {
        (each["tap_stream_id"], *metadata["breadcrumb"]): True
        for each in catalog["streams"]
        for metadata in each["metadata"]
        if each["tap_stream_id"] in {"tasks", "messages", "teams"}
    }
    run = run_tap(settings_for(sandbox), catalog=select(catalog, everything))
    [asked] = parameters(sandbox)

    assert (run.code, "which the schema does not know" in run.stderr) == (0, False)
    assert [each["resource_type"] for each in asked] == ["task", "message", "team"]
    for each in asked:
        sent = {path for item in sandbox.objects(WORKSPACE, each["resource_type"]) for path in paths_of(item)}
        leaves = {path for path in sent if not any(other.startswith(f"{path}.") for other in sent)}
        known = {path.replace("[]", "") for path, _ in below(load(f"{each['resource_type']}s"))}
        assert sent - known == set()
        assert {path for path in leaves if not any(path.startswith(f"{field}.") for field in each["fields"])} <= {
            *each["fields"]
        }
    assert "stories.custom_field.resource_subtype" in asked[0]["fields"]


def test_everything_in_a_graph_is_in_its_schemas(sandbox: Sandbox) -> None:
    for kind in ("goal", "team", "portfolio", "project"):
        for parent in sandbox.parents(WORKSPACE, kind):
            for item in sandbox.graph_objects(parent):
                known = {path.replace("[]", "") for path, _ in below(load(GRAPHS[item["resource_type"]]))}
                assert {*paths_of(item)} - known == set()


def test_the_script_writes_schemas_beside_it_and_cuts_recursion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gid = {"type": "string", "description": "The *gid* of `it`.\n"}
    color = {"properties": {"name": {"type": "string"}}, "type": "object"}
    described = {"properties": {"gid": gid}, "type": "object"}
    url = {
        "type": "string",
        "format": "uri",
        "enum": ["a"],
        "description": "<p>So</p>\n\n*Conditional*. [Opt In](/docs). A [url](/u). Cut.",
    }
    array = {"type": "array", "items": {"allOf": [{"$ref": "#/AsanaNamedResource"}]}}
    arrays = ["memberships", "followers", "tags", "likes", "dependencies", "custom_fields"]
    listed = ["Goal", "ProjectTemplate", "Tag", "TimePeriod", "WorkspaceMembership", "Workspace"]
    schemas: Schema = {
        **{f"{name}Response": described for name in [*listed, "Event"]},
        "AuditLogEvent": described,
        "AllocationResponse": described,
        "AsanaNamedResource": described,
        "AttachmentResponse": described,
        "CustomFieldResponse": described,
        "Like": described,
        "PortfolioResponse": described,
        "ProjectResponse": described,
        "StoryResponse": described,
        "TimeTrackingEntryBase": described,
        "UserCompact": described,
        "UserResponse": {"properties": {"gid": gid, "resource_subtype": {"type": "string"}}, "type": "object"},
        "SectionResponse": {
            "properties": {
                "gid": gid,
                "url": url,
                "old": {"type": "string", "description": "*Deprecated - use `url`*"},
                "new_url": {"type": "string", "description": "*Conditional*"},
            },
            "type": "object",
        },
        "TaskResponse": {"properties": {"gid": gid, **dict.fromkeys(arrays, array)}, "type": "object"},
        "Folder": {
            "description": "Any folder.",
            "properties": {"gid": gid, "above": {"$ref": "#/Folder"}},
            "type": "object",
        },
        "TeamCompact": described,
        "TeamBase": {"$ref": "#/TeamCompact"},
        "TeamResponse": {
            "allOf": [
                {"$ref": "#/TeamBase"},
                {
                    "properties": {
                        "folder": {"$ref": "#/Folder", "description": "Folder (e.g. a drawer)"},
                        "look": {"type": "object", "description": "Look.", "properties": {"color": color}},
                        "url": url,
                    }
                },
            ]
        },
    }
    (tmp_path / "schemas").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "asana.json").write_text(json.dumps({"components": {"schemas": schemas}}), encoding="utf-8")
    script = shutil.copy(ROOT / "scripts" / "update_schemas.py", tmp_path / "scripts")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "asana.json")])
    runpy.run_path(str(script), run_name="__main__")

    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "schemas").iterdir()}
    assert set(written) == set(PROPERTIES) - {"exports"}
    assert written["teams"] == {
        "type": "object",
        "properties": {
            "gid": {"description": "The gid of it.", "type": "string"},
            "folder": {
                "description": "Folder (e.g. a drawer).",
                **an_object(gid=TEXT, above=an_object()),
            },
            "look": {"description": "Look.", **an_object(color=an_object(name=TEXT))},
            "url": {"description": "Opt in. A url.", **TEXT, "x-asana-opt-in": True},
            "members": {
                "description": "Array of users that are members of the team.",
                **an_array(an_object(gid=TEXT, resource_subtype=TEXT)),
            },
            "workspace_gid": {"description": "Gid of the workspace that was exported.", **TEXT},
        },
    }
    assert written["task_tags"] == {
        "type": "object",
        "properties": {
            "gid": {"description": "The gid of it.", **KEY},
            "task_gid": {"description": "Gid of the task that it belongs to.", **KEY},
            "task_modified_at": {
                "description": "The time at which that task was last modified; rows with an earlier one are past.",
                **TIME,
            },
            "workspace_gid": {"description": "Gid of the workspace that was exported.", **TEXT},
        },
    }
    # What the whole object has, its compact form has too.
    assert written["messages"]["properties"]["created_by"] == {
        "description": "The user who created the message.",
        **an_object(gid=TEXT, resource_subtype=TEXT),
    }
    assert written["graph_sections"] == {
        "type": "object",
        "properties": {
            "gid": {"description": "The gid of it.", **KEY},
            "url": {"description": "A url.", **TEXT},
            "old": {"description": "Deprecated. Use url.", **TEXT},
            "new_url": {"description": "New url.", **TEXT},
            "parent_gid": {
                "description": "Gid of the goal, team, portfolio or project whose graph was exported.",
                **KEY,
            },
        },
    }
