"""Write the JSON Schema of the report, as tap_asana_export/report.py has it.

    uv run scripts/update_report.py

It writes docs/report.schema.json. Run it after every change of the report; tests/test_report.py fails until then.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from tap_asana_export import report

FILE = Path(__file__).parents[1] / "docs" / "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema; each property has the description that its class gives."""
    schema = msgspec.json.schema(report.Report)
    for name, definition in schema["$defs"].items():
        told = descriptions(getattr(report, name))
        definition["description"] = definition["description"].partition("\n")[0]
        for prop, value in definition["properties"].items():
            value.pop("default", None)  # all properties are always there
            value["description"] = told[prop]
            if prop.endswith("_at"):
                next(each for each in [*value.get("anyOf", []), value] if each.get("type") == "string")["format"] = (
                    "date-time"
                )
        definition["required"] = list(definition["properties"])
    schema["$defs"]["Report"]["properties"]["version"]["const"] = report.VERSION
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of a run", **schema}


def descriptions(kind: type) -> dict[str, str]:
    """What a class says of its attributes."""
    _, _, attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, re.MULTILINE | re.DOTALL)
    return {name: f"{text[0].upper()}{' '.join(text.split())[1:]}" for name, text in found}


def text_of(schema: dict[str, Any]) -> str:
    """The text of the file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(text_of(report_schema()), encoding="utf-8")


if __name__ == "__main__":
    main()
