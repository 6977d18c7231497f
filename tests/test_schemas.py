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

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

ROOT = Path(__file__).parents[1]

PROPERTIES = {
    "exports": """
        gid job_gid kind workspace_gid parent_gid created_at completed_at full objects lines bytes
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
}

OPT_IN = {
    "exports": "",
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


def test_everything_but_the_key_may_be_null(stream: str) -> None:
    assert [path for path, schema in below(load(stream)) if "null" not in schema["type"]] == ["gid"]


def test_only_the_top_level_is_closed(stream: str) -> None:
    schema = load(stream)
    closed = [path for path, inner in below(schema) if "object" in inner["type"] and not inner["additionalProperties"]]
    assert (list(schema), closed) == (["type", "properties"], [])


def test_opt_in_fields_are_marked_at_every_depth(stream: str) -> None:
    marked = [path for path, schema in below(load(stream)) if schema.get("x-asana-opt-in")]
    assert sorted(marked) == sorted(OPT_IN[stream].split())


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
    assert [text for text in described.values() if not re.fullmatch(r"[^][*`<>\n]{1,119}[.…]", text)] == []


def test_an_export_counts_objects_of_any_type() -> None:
    validator = Draft7Validator(load("exports"))
    assert validator.is_valid({"gid": "1", "objects": {"task": 3, "of_a_type_to_come": 1}})
    assert not validator.is_valid({"gid": "1", "objects": {"task": "three"}})


def test_the_script_writes_schemas_beside_it_and_cuts_recursion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gid = {"type": "string", "description": "The *gid* of `it`.\n"}
    color = {"properties": {"name": {"type": "string"}}, "type": "object"}
    described = {"properties": {"gid": gid}, "type": "object"}
    schemas: Schema = {
        "AsanaNamedResource": described,
        "AttachmentResponse": described,
        "Like": described,
        "StoryResponse": described,
        "TaskResponse": described,
        "UserCompact": described,
        "UserResponse": described,
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
                        "url": {
                            "type": "string",
                            "format": "uri",
                            "enum": ["a"],
                            "description": "<p>So</p>\n\n*Conditional*. [Opt In](/docs). A [url](/u). Cut.",
                        },
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

    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == [
        "messages.json",
        "tasks.json",
        "teams.json",
    ]
    assert json.loads((tmp_path / "schemas" / "teams.json").read_text(encoding="utf-8")) == {
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
                **an_array(an_object(gid=TEXT)),
            },
            "workspace_gid": {"description": "Gid of the workspace that was exported.", **TEXT},
        },
    }
