# /// script
# requires-python = ">=3.10"
# dependencies = ["msgspec", "pyyaml"]
# ///
"""Write the schemas of the objects in export files, their parts, and lists, from Asana's OpenAPI description.

Usage: uv run scripts/update_schemas.py asana_oas.yaml

The description is `defs/asana_oas.yaml` of https://github.com/Asana/openapi, or the same as JSON.
`schemas/exports.json` describes no object of Asana's and is left alone.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec.yaml

# Properties that the export or the tap adds or that OpenAPI tells wrong: a type (in a list, an array of it) and
# a description, or None for a property that exports leave out.
Properties = dict[str, tuple[str | list[str], str] | None]

WORKSPACE: Properties = {"workspace_gid": ("string", "Gid of the workspace that was exported.")}
LISTED: Properties = {"workspace_gid": ("string", "Gid of the workspace whose list it is in.")}
ACTIVITY: Properties = {"workspace_gid": ("string", "Gid of the workspace in which it happened.")}
TASK: Properties = {
    "task_gid": ("string", "Gid of the task that it belongs to."),
    "task_modified_at": (
        "date-time",
        "The time at which that task was last modified; rows with an earlier one are past.",
    ),
}
MESSAGE: Properties = {
    "message_gid": ("string", "Gid of the message that it belongs to."),
    "message_modified_at": (
        "date-time",
        "The time at which that message was last modified; rows with an earlier one are past.",
    ),
}
TASK_OR_MESSAGE: Properties = {
    "parent_type": ("string", "The type of what it belongs to, which is task or message."),
    **TASK,
    **MESSAGE,
    **WORKSPACE,
}
GRAPH: Properties = {
    "parent_gid": ("string", "Gid of the goal, team, portfolio or project whose graph was exported."),
}

# How exported objects differ from the API's, by the name of their OpenAPI schema. Asana says so in prose only,
# and messages have no other schema: https://developers.asana.com/reference/createresourceexport
# What the lines of relations hold is published nowhere: https://developers.asana.com/docs/graph-exports
EXPORTED: dict[str, Properties] = {
    "AttachmentResponse": {"download_url": None, "view_url": None},
    "Message": {
        "gid": ("string", "Globally unique identifier of the message, as a string."),
        "resource_type": ("string", "The type of resource, which is always message."),
        "resource_subtype": ("string", "The subtype of the message, which can be default or status_update."),
        "status_type": ("string", "The type associated with the status update."),
        "created_by": ("UserCompact", "The user who created the message."),
        "created_at": ("date-time", "The time at which the message was created and sent."),
        "modified_at": ("date-time", "The time at which the message was last modified."),
        "title": ("string", "The title of the message."),
        "text": ("string", "The text content of the message."),
        "html_notes": ("string", "[Opt In]. The text content of the message with formatting as HTML."),
        "num_likes": ("integer", "The number of users who have liked the message."),
        "likes": (["Like"], "Array of likes for users who have liked the message."),
        "stories": (["StoryResponse"], "Array of stories applied to the message."),
        "attachments": (["AttachmentResponse"], "Array of attachments added to the message."),
        "followers": (["UserCompact"], "Array of users following the message, or to whom it was sent."),
        "parents": (["AsanaNamedResource"], "Array of projects, portfolios, teams or goals it was sent to."),
    },
    # What the tap makes of the audit log and the workspace's events.
    "Deletion": {
        "gid": ("string", "Gid of the object that was deleted or undeleted."),
        "resource_type": ("string", "The type of the object, such as task, message, story or attachment."),
        "is_deleted": ("boolean", "True if it was deleted last; false if it was undeleted since."),
        "changed_at": ("date-time", "The time at which it was deleted or undeleted last."),
        "actor_gid": ("string", "Gid of the user who did it."),
        "source": ("string", "What tells of it, which is audit_log or events."),
    },
    "PortfolioToPortfolio": {
        "gid": ("string", "The line's own gid, or a digest of the line when it has none."),
        "resource_type": ("string", "The type of resource, which is always portfolio_to_portfolio."),
        "parent_portfolio": ("AsanaNamedResource", "The portfolio that holds the other one."),
        "child_portfolio": ("AsanaNamedResource", "The portfolio that is in the other one."),
    },
    # The API declares these and other custom fields compact, that is without the values of people and references.
    "PortfolioResponse": {
        "custom_fields": (["CustomFieldResponse"], "Array of custom field values set on the portfolio."),
    },
    "ProjectResponse": {
        "custom_fields": (["CustomFieldResponse"], "Array of custom field values set on the project."),
    },
    "ProjectToPortfolio": {
        "gid": ("string", "The line's own gid, or a digest of the line when it has none."),
        "resource_type": ("string", "The type of resource, which is always project_to_portfolio."),
        "project": ("AsanaNamedResource", "The project that is in the portfolio."),
        "portfolio": ("AsanaNamedResource", "The portfolio that holds the project."),
    },
    # The API declares integers, but a custom field's `number_value` is a number.
    "StoryResponse": {
        "old_number_value": ("number", "The previous value of a number-type custom field."),
        "new_number_value": ("number", "The new value of a number-type custom field."),
    },
}

# By stream: an object, or the items of one of its arrays; the stream's keys; what its records have besides.
STREAMS: dict[str, tuple[str, str, Properties]] = {
    "tasks": (
        "TaskResponse",
        "gid",
        {
            "attachments": (["AttachmentResponse"], "Array of attachments of the task."),
            "stories": (["StoryResponse"], "Array of comments and other changes made to the task."),
            **WORKSPACE,
        },
    ),
    "teams": (
        "TeamResponse",
        "gid",
        {"members": (["UserResponse"], "Array of users that are members of the team."), **WORKSPACE},
    ),
    "messages": ("Message", "gid", WORKSPACE),
    "stories": ("StoryResponse", "gid", TASK_OR_MESSAGE),
    "attachments": ("AttachmentResponse", "gid", TASK_OR_MESSAGE),
    "task_memberships": (
        "TaskResponse.memberships",
        "task_gid project_gid",
        {"project_gid": ("string", "Gid of the project that the task is in."), **TASK, **WORKSPACE},
    ),
    "task_followers": ("TaskResponse.followers", "task_gid gid", {**TASK, **WORKSPACE}),
    "task_tags": ("TaskResponse.tags", "task_gid gid", {**TASK, **WORKSPACE}),
    "task_likes": ("TaskResponse.likes", "task_gid gid", {**TASK, **WORKSPACE}),
    "task_dependencies": ("TaskResponse.dependencies", "task_gid gid", {**TASK, **WORKSPACE}),
    "task_custom_fields": ("TaskResponse.custom_fields", "task_gid gid", {**TASK, **WORKSPACE}),
    "team_members": (
        "UserResponse",
        "team_gid gid",
        {"team_gid": ("string", "Gid of the team that the user is a member of."), **WORKSPACE},
    ),
    "message_parents": ("Message.parents", "message_gid gid", {**MESSAGE, **WORKSPACE}),
    "message_followers": ("Message.followers", "message_gid gid", {**MESSAGE, **WORKSPACE}),
    "graph_portfolios": ("PortfolioResponse", "parent_gid gid", GRAPH),
    "graph_projects": ("ProjectResponse", "parent_gid gid", GRAPH),
    "graph_sections": ("SectionResponse", "parent_gid gid", GRAPH),
    "graph_tasks": ("TaskResponse", "parent_gid gid", GRAPH),
    "graph_allocations": ("AllocationResponse", "parent_gid gid", GRAPH),
    "graph_time_tracking_entries": ("TimeTrackingEntryBase", "parent_gid gid", GRAPH),
    "graph_portfolio_to_portfolio": ("PortfolioToPortfolio", "parent_gid gid", GRAPH),
    "graph_project_to_portfolio": ("ProjectToPortfolio", "parent_gid gid", GRAPH),
    "workspaces": ("WorkspaceResponse", "gid", LISTED),
    "users": (
        "UserResponse",
        "workspace_gid gid",
        {"custom_fields": (["CustomFieldResponse"], "Array of custom field values set on the user."), **LISTED},
    ),
    "workspace_memberships": ("WorkspaceMembershipResponse", "gid", LISTED),
    "projects": ("ProjectResponse", "gid", LISTED),
    "sections": ("SectionResponse", "gid", LISTED),
    "tags": ("TagResponse", "gid", LISTED),
    "custom_fields": ("CustomFieldResponse", "gid", LISTED),
    "portfolios": ("PortfolioResponse", "gid", LISTED),
    "portfolio_items": (
        "PortfolioItem",
        "portfolio_gid gid",
        {"portfolio_gid": ("string", "Gid of the portfolio that the project or portfolio is in."), **LISTED},
    ),
    "goals": (
        "GoalResponse",
        "gid",
        {"custom_fields": (["CustomFieldResponse"], "Array of custom field values set on the goal."), **LISTED},
    ),
    "time_periods": ("TimePeriodResponse", "gid", LISTED),
    "project_templates": ("ProjectTemplateResponse", "gid", LISTED),
    "allocations": ("AllocationResponse", "gid", LISTED),
    "time_tracking_entries": ("TimeTrackingEntryBase", "gid", LISTED),
    "deletions": ("Deletion", "gid", ACTIVITY),
    "events": (
        "EventResponse",
        "gid",
        {"gid": ("string", "Digest of the event: events of the same content are one."), **ACTIVITY},
    ),
    "audit_log_events": ("AuditLogEvent", "gid", ACTIVITY),
}

MARKS = {"Opt in": r"\[Opt In\]|only returned when requesting it", "Deprecated": r"^\*Deprecated"}

# A graph export takes no `fields`, so nothing in it has to be asked for.
GRAPH_MARKS = {"Deprecated": MARKS["Deprecated"]}

Schema = dict[str, Any]
Marks = dict[str, str]


def openapi(kind: str | list[str]) -> Schema:
    """Spell out a type of the table above as an OpenAPI schema."""
    if isinstance(kind, list):
        return {"type": "array", "items": openapi(kind[0])}
    if kind == "date-time":
        return {"type": "string", "format": kind}
    return {"type": kind} if kind.islower() else {"$ref": f"#/components/schemas/{kind}"}


def extended(schema: Schema, properties: Properties) -> Schema:
    """Add properties to an OpenAPI schema, or put them in place of its own."""
    rows = {key: row and {**openapi(row[0]), "description": row[1]} for key, row in properties.items()}
    return {"allOf": [schema, {"properties": rows}]}


def merged(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """Merge a schema with all that its `$ref` and `allOf` name; the outermost `$ref` remains, as its name."""
    bases = list(schema.get("allOf", []))
    if "$ref" in schema:
        bases.append(schemas[schema["$ref"].rpartition("/")[2]])
    result: Schema = {"properties": {}}
    for part in [*(merged(base, schemas) for base in bases), schema]:
        result = {**result, **part, "properties": {**result["properties"], **part.get("properties", {})}}
    return result


def marks(source: Schema, known: Marks) -> list[str]:
    """Name the marks that Asana's description of a property bears."""
    return [mark for mark, pattern in known.items() if re.search(pattern, source.get("description", ""))]


def column(schema: Schema, schemas: dict[str, Schema], known: Marks, above: tuple[str, ...] = ()) -> Schema:
    """Return a property's JSON Schema: nullable, objects open, without properties where one holds itself."""
    source = {"type": "object", **merged(schema, schemas)}  # the values of an event's change are resources, untyped
    result: Schema = {"type": [source["type"], "null"]}
    if source.get("format") in {"date", "date-time"}:
        result["format"] = source["format"]
    if source["type"] == "array":
        result["items"] = column(source["items"], schemas, known, above)
    if source["type"] == "object":
        name = source.get("$ref", "")
        inner = {} if name and name in above else source["properties"]
        below = (*above, name)
        result["properties"] = {key: column(value, schemas, known, below) for key, value in inner.items() if value}
        result["additionalProperties"] = True
    if "Opt in" in marks(source, known):
        result["x-asana-opt-in"] = True
    return result


def sentence(source: Schema, name: str, known: Marks) -> str:
    """Return the first sentence of Asana's Markdown as plain text, or the name; marks go before it."""
    text = source.get("description", "")
    text = re.sub(r"^(<p>.*?</p>|\*[A-Z][^*]*\*\.?(?!$)|\*[A-Z]\w+\W+|\[Opt In\]\S+|\s+)+", "", text)
    text = re.sub(r"[*`]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text)) or name.replace("_", " ")
    first = re.split(r"\.\s+(?=[A-Z])", text[0].upper() + text[1:])[0].strip().removesuffix(".")
    return textwrap.shorten(". ".join([*marks(source, known), first]) + ".", 120, placeholder="…")


def stream(name: str, schemas: dict[str, Schema]) -> Schema:
    """Return the JSON Schema of a stream's records: closed, all but its keys nullable."""
    source, keys, besides = STREAMS[name]
    known = GRAPH_MARKS if name.startswith("graph_") else MARKS
    record, _, array = source.partition(".")
    schema = schemas[record]
    if array:
        schema = merged(merged(schema, schemas)["properties"][array], schemas)["items"]
    properties: Schema = {
        key: {"description": sentence(merged(value, schemas), key, known), **column(value, schemas, known)}
        for key, value in merged(extended(schema, besides), schemas)["properties"].items()
        if value
    }
    for key in keys.split():
        properties[key]["type"] = "string"
    return {"type": "object", "properties": properties}


def with_subtypes(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Let every compact object have the `resource_subtype` that the whole object has.

    Exports send it, as the API does, though the description of some compact objects leaves it out.
    """
    result = dict(schemas)
    for name, schema in schemas.items():
        whole = schemas.get(f"{name.removesuffix('Compact')}Response")
        if name.endswith("Compact") and whole:
            subtype = merged(whole, schemas)["properties"].get("resource_subtype")
            if subtype and "resource_subtype" not in merged(schema, schemas)["properties"]:
                result[name] = {"allOf": [schema, {"properties": {"resource_subtype": subtype}}]}
    return result


def main() -> None:
    """Write one file per stream."""
    [path] = sys.argv[1:] or sys.exit(__doc__)
    schemas: dict[str, Schema] = msgspec.yaml.decode(Path(path).read_bytes())["components"]["schemas"]
    schemas = with_subtypes(schemas)
    schemas |= {name: extended(schemas.get(name, {}), properties) for name, properties in EXPORTED.items()}
    # A portfolio holds projects and other portfolios.
    schemas["PortfolioItem"] = {"allOf": [openapi("PortfolioResponse"), openapi("ProjectResponse")]}
    for name in STREAMS:
        text = json.dumps(stream(name, schemas), indent=2, ensure_ascii=False)
        (Path(__file__).parents[1] / "schemas" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
