# /// script
# requires-python = ">=3.10"
# dependencies = ["msgspec", "pyyaml"]
# ///
"""Write the schemas of tasks, teams and messages from Asana's OpenAPI description.

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

STREAMS = {"tasks.json": "TaskResponse", "teams.json": "TeamResponse", "messages.json": "Message"}

WORKSPACE_GID = ("string", "Gid of the workspace that was exported.")

# How exported objects differ from the API's, by the name of their OpenAPI schema: a property's type (in a
# list, an array of it) and description, or None where it is left out. Asana says so in prose only, and
# messages have no other schema: https://developers.asana.com/reference/createresourceexport
EXPORTED: dict[str, dict[str, tuple[str | list[str], str] | None]] = {
    "TaskResponse": {
        "attachments": (["AttachmentResponse"], "Array of attachments of the task."),
        "stories": (["StoryResponse"], "Array of comments and other changes made to the task."),
        "workspace_gid": WORKSPACE_GID,
    },
    "TeamResponse": {
        "members": (["UserResponse"], "Array of users that are members of the team."),
        "workspace_gid": WORKSPACE_GID,
    },
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
        "workspace_gid": WORKSPACE_GID,
    },
    "AttachmentResponse": {"download_url": None, "view_url": None},
    # The API declares integers, but a custom field's `number_value` is a number.
    "StoryResponse": {"old_number_value": ("number", ""), "new_number_value": ("number", "")},
}

MARKS = {"Opt in": r"\[Opt In\]|only returned when requesting it", "Deprecated": r"^\*Deprecated"}

Schema = dict[str, Any]


def openapi(kind: str | list[str]) -> Schema:
    """Spell out a type of the table above as an OpenAPI schema."""
    if isinstance(kind, list):
        return {"type": "array", "items": openapi(kind[0])}
    if kind == "date-time":
        return {"type": "string", "format": kind}
    return {"type": kind} if kind.islower() else {"$ref": f"#/components/schemas/{kind}"}


def exported(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Turn the API's schemas into the export's, where a property that is None does not exist."""
    changed: dict[str, Schema] = {}
    for name, changes in EXPORTED.items():
        properties = {key: row and {**openapi(row[0]), "description": row[1]} for key, row in changes.items()}
        changed[name] = {"allOf": [schemas.get(name, {}), {"properties": properties}]}
    return {**schemas, **changed}


def merged(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """Merge a schema with all that its `$ref` and `allOf` name; the outermost `$ref` remains, as its name."""
    bases = list(schema.get("allOf", []))
    if "$ref" in schema:
        bases.append(schemas[schema["$ref"].rpartition("/")[2]])
    result: Schema = {"properties": {}}
    for part in [*(merged(base, schemas) for base in bases), schema]:
        result = {**result, **part, "properties": {**result["properties"], **part.get("properties", {})}}
    return result


def column(schema: Schema, schemas: dict[str, Schema], above: tuple[str, ...] = ()) -> Schema:
    """Return a property's JSON Schema: nullable, objects open, without properties where one holds itself."""
    source = merged(schema, schemas)
    result: Schema = {"type": [source["type"], "null"]}
    if source.get("format") in {"date", "date-time"}:
        result["format"] = source["format"]
    if source["type"] == "array":
        result["items"] = column(source["items"], schemas, above)
    if source["type"] == "object":
        name = source.get("$ref", "")
        inner = {} if name and name in above else source["properties"]
        result["properties"] = {key: column(value, schemas, (*above, name)) for key, value in inner.items() if value}
        result["additionalProperties"] = True
    if re.search(MARKS["Opt in"], source.get("description", "")):
        result["x-asana-opt-in"] = True
    return result


def first_sentence(description: str) -> str:
    """Return the first sentence of Asana's Markdown as plain text, behind the marks that stay true here."""
    marks = [mark for mark, pattern in MARKS.items() if re.search(pattern, description)]
    text = re.sub(r"^(<p>.*?</p>|\*[A-Z][^*]*\*\.?|\[Opt In\]\S+|\s+)+", "", description)
    text = re.sub(r"\[(.+?)\]\(.+?\)|[*`]", r"\1", text)
    sentence = re.split(r"\.\s+(?=[A-Z])", text)[0].strip().removesuffix(".")
    return textwrap.shorten(". ".join([*marks, sentence]) + ".", 120, placeholder="…")


def stream(name: str, schemas: dict[str, Schema]) -> Schema:
    """Return the JSON Schema of an object that is one line of an export: closed, `gid` its key."""
    properties: Schema = {
        key: {"description": first_sentence(merged(value, schemas)["description"]), **column(value, schemas)}
        for key, value in merged(schemas[name], schemas)["properties"].items()
    }
    properties["gid"]["type"] = "string"
    return {"type": "object", "properties": properties}


def main() -> None:
    """Write one file per stream."""
    [path] = sys.argv[1:] or sys.exit(__doc__)
    schemas = exported(msgspec.yaml.decode(Path(path).read_bytes())["components"]["schemas"])
    for file, name in STREAMS.items():
        text = json.dumps(stream(name, schemas), indent=2, ensure_ascii=False)
        (Path(__file__).parents[1] / "schemas" / file).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
