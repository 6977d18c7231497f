"""Write what tap.py says of the settings into the places that repeat it.

    uv run scripts/update_settings.py

These are the tables of docs/settings.md, the plugin definitions in meltano.yml and README.md, and
hub/tap-asana-export.yml, the definition for Meltano Hub. Run it after every change of a setting; tests/test_docs.py
fails until then.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tap_asana_export.settings import PREFIX
from tap_asana_export.tap import SETTINGS, VERSION, TapAsanaExport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
OWNER = "OWNER"
"""Who has the repository at GitHub; to be set before the definition goes to Meltano Hub."""

REPOSITORY = f"https://github.com/{OWNER}/tap-asana-export"

GROUPS = {
    "Access to Asana": (
        "access_token",
        "client_id",
        "client_secret",
        "refresh_token",
        "api_url",
        "request_timeout",
        "user_agent",
        "asana_enable",
        "asana_disable",
    ),
    "What to export": (
        "workspaces",
        "graph_parents",
        "start_date",
        "filters",
        "full_export_interval",
        "overlap",
        "audit_log_event_types",
        "export_files",
    ),
    "Jobs": ("poll_interval", "wait_timeout", "defer", "busy_timeout", "job_gids", "checkpoint"),
    "Records": ("emit_activate_version_messages", "unknown_fields"),
    "What one sees": ("report",),
    "Trying it out": ("sandbox",),
}
"""The settings by subject; what is in none comes last, under a heading of its own."""

README_WIDTH = 122
"""Columns of the settings in README.md."""

OTHERS = "More"
OF_THE_SDK = "The Singer SDK's own"

KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    "object": "object",
    "string": "string",
}
"""Meltano's kind of a setting, by its type in JSON Schema.

Numbers have none. With `decimal` Meltano (4.4) ends with TypeError when the number comes from a variable, and with
`integer` when it is a fraction. Without a kind it passes on what it has.
"""

VALID_GROUPS = [["access_token"], ["client_id", "client_secret", "refresh_token"], ["sandbox"], ["export_files"]]
"""Settings that are enough to start with."""

DEFAULT_SELECTION = ["exports.*", "tasks.*", "messages.*", "teams.*", "!*.html_notes", "!*.html_description"]
"""What to select in Meltano, which otherwise selects every stream and every property."""

USAGE = """\
### Who may use it

Asana opens exports to service accounts of Enterprise+ organizations, and of those with the Compliance Management
add-on. Everybody else can try the extractor on the sandbox that it brings:
`meltano config set tap-asana-export sandbox true`.

### What to select

Meltano selects every stream and every property unless told otherwise. The streams `graph_…` need the setting
`graph_parents`. The streams that are cut out of tasks, messages and teams (`stories`, `task_followers`, …) cost no
request more.

### What can go wrong

Every error is one line that says what happened, where, and what to do.
[Troubleshooting](%s/blob/main/docs/troubleshooting.md) explains each of them.
"""

PREAMBLE = """\
Set either `access_token`, or `client_id`, `client_secret` and `refresh_token` of an OAuth app, or `sandbox` to try the
extractor without Asana, or `export_files` to read files that were exported earlier.
"""


def own_settings() -> dict[str, dict[str, Any]]:
    """JSON Schema of each of the tap's own settings."""
    settings: dict[str, dict[str, Any]] = SETTINGS.to_dict()["properties"]
    return settings


def all_settings() -> dict[str, dict[str, Any]]:
    """JSON Schema of each setting, the SDK's own as well."""
    schema: dict[str, Any] = SETTINGS.to_dict()
    TapAsanaExport.append_builtin_config(schema)
    settings: dict[str, dict[str, Any]] = schema["properties"]
    return settings


def type_of(schema: Mapping[str, Any]) -> str | None:
    """The only type of a setting but null; None if it has several."""
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    kinds = [each for each in types if each != "null"]
    return kinds[0] if len(kinds) == 1 else None


# ── docs/settings.md ──────────────────────────────────────────────────────────────────────────────────────


def grouped() -> dict[str, dict[str, dict[str, Any]]]:
    """The settings by subject."""
    own = own_settings()
    groups = {subject: {name: own[name] for name in names if name in own} for subject, names in GROUPS.items()}
    groups[OTHERS] = {
        name: each for name, each in own.items() if not any(name in of_group for of_group in groups.values())
    }
    groups[OF_THE_SDK] = {name: each for name, each in all_settings().items() if name not in own}
    return {subject: of_group for subject, of_group in groups.items() if of_group}


def settings_tables() -> str:
    """All settings, as docs/settings.md has them."""
    parts = []
    for subject, settings in grouped().items():
        parts += [f"## {subject}", "", "| setting | kind | default | meaning |", "|---|---|---|---|"]
        for name, schema in settings.items():
            default = f"`{json.dumps(schema['default'])}`".replace(VERSION, "…") if "default" in schema else ""
            meaning = " ".join(schema["description"].split())
            place = f'<a id="{name}"></a>`{name}`<br>`{PREFIX}{name.upper()}`'
            parts.append(f"| {place} | {kind_in_words(schema)} | {default} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def kind_in_words(schema: Mapping[str, Any]) -> str:
    """What values a setting takes."""
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    words = [" or ".join(each for each in types if each != "null")]
    if "enum" in schema:
        words = [" or ".join(f"`{each}`" for each in schema["enum"] if each is not None)]
    if schema.get("format") == "date-time":
        words = ["date-time"]
    if schema.get("format") == "uri":
        words = ["URL"]
    if schema.get("items", {}).get("pattern"):
        words = ["array of gids"]
    if schema.get("secret"):
        words.append("secret")
    if "exclusiveMinimum" in schema:
        words.append(f"more than {schema['exclusiveMinimum']}")
    if "minimum" in schema:
        words.append(f"at least {schema['minimum']}")
    if "maximum" in schema:
        words.append(f"at most {schema['maximum']}")
    return ", ".join(words)


# ── Meltano ───────────────────────────────────────────────────────────────────────────────────────────────


def meltano_setting(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as a plugin definition has it."""
    kind = type_of(schema)
    setting: dict[str, Any] = {"name": name, "label": schema.get("title", name)}
    if schema.get("secret"):
        setting |= {"kind": "string", "sensitive": True}
    elif "enum" in schema:
        values = [each for each in schema["enum"] if each is not None]
        setting |= {"kind": "options", "options": [{"label": each.capitalize(), "value": each} for each in values]}
    elif schema.get("format") == "date-time":
        setting["kind"] = "date_iso8601"
    elif kind in KINDS:
        setting["kind"] = KINDS[kind]
    # Meltano cannot merge settings below an object into a default, and the version of user_agent is not its own.
    if "default" in schema and kind not in {None, "object"} and name != "user_agent":
        setting["value"] = schema["default"]
    return setting


def hub_setting(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as the Hub has it; there, unlike in projects, secrets have a kind of their own."""
    setting = meltano_setting(name, schema) | {"description": " ".join(schema["description"].split())}
    return setting | ({"kind": "password"} if schema.get("secret") else {})


def meltano_settings() -> list[dict[str, Any]]:
    """The tap's own settings, as a plugin definition has them."""
    return [meltano_setting(name, schema) for name, schema in own_settings().items()]


def lines_of(settings: Iterable[Mapping[str, Any]], names: Iterable[str]) -> str:
    """Settings in YAML, a line each, with these of their keys."""
    return "\n".join(f"    - {flow}" for flow in flows_of(settings, names))


def flows_of(settings: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """Settings in YAML's flow style, with these of their keys."""
    wanted = list(names)
    short = ({name: setting[name] for name in wanted if name in setting} for setting in settings)
    return [yaml.safe_dump(each, default_flow_style=True, sort_keys=False, width=10_000).strip() for each in short]


def paragraph_of(flows: Iterable[str]) -> str:
    """Settings in YAML as one list, with as many in a line as there is room for: a README is to be short."""
    text = f"[{', '.join(flows)}]".replace(" ", "\0").replace("},\0{", "}, {")
    lines = textwrap.wrap(text, README_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"      {line}" for line in lines).replace("\0", " ")


def hub_definition() -> dict[str, Any]:
    """What Meltano Hub is to know; its keys are those of https://github.com/meltano/hub/tree/main/schemas."""
    settings = [hub_setting(name, schema) for name, schema in flattened(all_settings())]
    return {
        "capabilities": sorted(each.value for each in TapAsanaExport.capabilities),
        "description": "Project and work management software, exported in bulk",
        "docs": f"{REPOSITORY}/tree/main/docs",
        "domain_url": "https://developers.asana.com/reference/exports",
        "executable": TapAsanaExport.name,
        "keywords": ["api", "meltano_sdk"],
        "label": "Asana Exports",
        "log_parser": "singer-sdk",
        "logo_url": "/assets/logos/extractors/asana.png",
        "maintenance_status": "active",
        "name": TapAsanaExport.name,
        "namespace": TapAsanaExport.name.replace("-", "_"),
        "pip_url": TapAsanaExport.name,
        "quality": "silver",
        "repo": REPOSITORY,
        "select": DEFAULT_SELECTION,
        "settings": sorted(settings, key=lambda each: str(each["name"])),
        "settings_group_validation": [sorted(each) for each in VALID_GROUPS],
        "settings_preamble": PREAMBLE,
        "supported_python_versions": supported_python_versions(),
        "usage": USAGE % REPOSITORY,
        "variant": OWNER.lower(),
    }


def supported_python_versions() -> list[str]:
    """The versions that pyproject.toml tells of."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)


def flattened(settings: Mapping[str, dict[str, Any]], at: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    """The settings; of the SDK's own, what they hold, as Meltano names it: `batch_config.storage.root`."""
    for name, schema in settings.items():
        within = schema.get("properties", {})
        if within and (at or name in {"batch_config", "faker_config"}):
            yield from flattened(within, f"{at}{name}.")
        else:
            yield f"{at}{name}", schema


class HubDumper(yaml.SafeDumper):
    """YAML as the Hub's own files have it: long texts over several lines."""


HubDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def hub_file() -> str:
    """The text of hub/tap-asana-export.yml."""
    return yaml.dump(hub_definition(), Dumper=HubDumper, sort_keys=True, allow_unicode=True, width=80)


# ── the files ─────────────────────────────────────────────────────────────────────────────────────────────


def between(text: str, begin: str, end: str, new: str) -> str:
    """The text, with something new between two lines."""
    before, found, rest = text.partition(f"{begin}\n")
    _, found_too, after = rest.partition(f"{end}")
    if not found or not found_too:
        raise ValueError(f"there is no {begin!r} before {end!r}")
    return f"{before}{begin}\n{new}\n{end}{after}"


def files() -> dict[str, str]:
    """By path, the text that each of the files is to hold."""
    settings = meltano_settings()
    texts = {
        path: (ROOT / path).read_text(encoding="utf-8") for path in ("docs/settings.md", "meltano.yml", "README.md")
    }
    return {
        "docs/settings.md": between(
            texts["docs/settings.md"], "<!-- generated -->", "<!-- end -->", settings_tables().strip()
        ),
        "meltano.yml": between(
            texts["meltano.yml"],
            "    settings:",
            "    # Meltano selects",
            lines_of(settings, ["name", "kind", "value", "label", "sensitive", "options"]),
        ),
        "README.md": between(
            texts["README.md"],
            "    settings:",
            "    select:",
            paragraph_of(flows_of(settings, ["name", "kind", "sensitive", "options"])),
        ),
        "hub/tap-asana-export.yml": hub_file(),
    }


def main() -> None:
    """Write the files, and name those that have changed."""
    for path, text in files().items():
        file = ROOT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"{path} has changed")


if __name__ == "__main__":
    main()
