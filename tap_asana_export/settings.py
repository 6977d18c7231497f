"""Reads the settings from files and the environment, converts them, and says what is wrong with them."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from datetime import timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, cast
from urllib.parse import urlsplit

import jsonschema
from dotenv import find_dotenv

from tap_asana_export.asana import GRANT
from tap_asana_export.errors import SettingError
from tap_asana_export.sdk import parse_environment_config
from tap_asana_export.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from typing_extensions import NotRequired


class Settings(TypedDict):
    """All settings as the tap uses them: defaults filled in, gids as texts, numbers as numbers.

    `tap.SETTINGS` has their meaning. Those of the SDK are in it only if they are given.
    """

    access_token: str | None
    client_id: str | None
    client_secret: str | None
    refresh_token: str | None
    workspaces: list[str]
    graph_parents: list[str]
    start_date: str | None
    filters: dict[str, list[dict[str, Any]]]
    unknown_fields: str
    full_export_interval: int | None
    emit_activate_version_messages: bool
    overlap: int
    poll_interval: float
    wait_timeout: float
    defer: bool
    busy_timeout: float
    request_timeout: float
    job_gids: dict[str, str]
    checkpoint: str | bool | None
    report: str | None
    export_files: list[str]
    audit_log_event_types: list[str]
    api_url: str
    asana_enable: list[str]
    asana_disable: list[str]
    sandbox: bool | dict[str, Any]
    user_agent: str
    batch_config: NotRequired[dict[str, Any] | None]
    stream_maps: NotRequired[dict[str, Any] | None]


PREFIX = "TAP_ASANA_EXPORT_"
"""Beginning of the names of environment variables for settings."""

BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
"""Texts for true and false in environment variables."""

# A header must be latin-1, without line breaks.
UNSENDABLE = re.compile(r"[^\x20-\x7e\xa0-\xff]")
SENT = ("access_token", *GRANT, "user_agent", "api_url")
"""Settings that become part of a header or of a URL."""

# The SDK's own schema of `stream_maps` (singer-sdk 0.54.9) is invalid: jsonschema fails with AttributeError.
_ELSE = {"enum": [None, "__NULL__"]}
_MAP = {
    "type": ["object", "string", "null"],
    "properties": {
        "__else__": _ELSE,
        "__alias__": {"type": "string"},
        "__source__": {"type": "string"},
        "__filter__": {"type": "string"},
        "__key_properties__": {"type": ["array", "null"], "items": {"type": "string"}},
    },
    "additionalProperties": {"type": ["string", "null"]},
}
STREAM_MAPS = {"type": "object", "properties": {"__else__": _ELSE}, "additionalProperties": _MAP}
"""JSON Schema of the setting `stream_maps`; https://sdk.meltano.com/en/latest/stream_maps.html"""

# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


def read_json(path: str, option: str) -> Any:
    """Read a JSON file that an option of the command line names; None if it is empty.

    Args:
        path: path of the file.
        option: name of the option, for errors.

    Raises:
        SettingError: the file cannot be read, or is not JSON. The error never shows the content, which may be secret.
    """
    file = f"the file given with --{option}, {path!r}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingError(f"Cannot read {file}: {error.strerror}. Check the path.") from None
    except ValueError as error:
        cause = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise SettingError(f"Cannot read {file}: {cause}. Correct the file.") from None
    if not text.strip():
        return None
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise SettingError(f"Cannot read {file}: it is not JSON: {error}. Correct the file.") from None
    except (ValueError, RecursionError) as error:
        cause = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise SettingError(f"Cannot read {file}: {cause}. Correct the file.") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of an object's pairs.

    Raises:
        ValueError: a name occurs twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} twice")
    return found


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's json accepts although they are not JSON."""
    raise ValueError(f"it is not JSON: {constant}")


def read_config(path: str) -> dict[str, Any]:
    """Read settings from a file.

    Raises:
        SettingError: the file cannot be read, or is not a JSON object.
    """
    config = read_json(path, "config")
    if config is None or isinstance(config, dict):
        return config or {}
    raise SettingError(f"The file given with --config, {path!r}, holds no JSON object. Correct the file.")


def read_environment(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read settings from environment variables; an empty variable counts as not set.

    Args:
        schema: JSON Schema of the settings.

    Raises:
        SettingError: a variable should be JSON and is not, or its name is no setting's.
    """
    types = {name: _types(setting) for name, setting in schema["properties"].items()}
    # The SDK also reads a file .env. All types are text here, as the SDK would convert "{}" to false.
    as_texts = {"properties": {name: {"type": "string"} for name in types}}
    texts = parse_environment_config(as_texts, PREFIX, find_dotenv(usecwd=True))
    names = {f"{PREFIX}{name.upper()}": name for name in types}
    # Meltano sets variables of its own, which begin with two underscores, and one for each property of an object.
    inner = tuple(f"{variable}_" for variable, name in names.items() if "object" in types[name])
    others = (f"{PREFIX}_", f"{PREFIX}LOGLEVEL", *inner)
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in names and not variable.startswith(others):
            meant = _no_setting(variable.removeprefix(PREFIX).lower(), types)
            raise SettingError(f"Settings: the environment variable {variable} {meant}.")
    return {
        name: _value(f"the environment variable {PREFIX}{name.upper()}", text, types[name])
        for name, text in texts.items()
    }


def _types(setting: Mapping[str, Any]) -> list[str]:
    """Return the types that a setting's schema allows."""
    types: str | list[str] = setting["type"]
    return [types] if isinstance(types, str) else types


def _value(what: str, text: str, types: Collection[str]) -> Any:
    """Convert a setting that is given as text; None if it is blank.

    Args:
        what: what is converted, for errors.
        text: the text.
        types: types that the setting may have. A text that fits none of them is returned as it is.

    Raises:
        SettingError: the text should be JSON and is not.
    """
    if "string" in types:
        return BOOLEANS.get(text.strip().lower(), text) if "boolean" in types else text
    text = text.strip()
    if not text:
        return None
    if text[0] in "[{":
        try:
            return json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            cause = f"is not JSON: {error}" if isinstance(error, json.JSONDecodeError) else "cannot be read"
            raise SettingError(f"Settings: {what} {cause}.") from None
    if "boolean" in types:
        return BOOLEANS.get(text.lower(), text)
    if "integer" in types:
        return int(text) if re.fullmatch(r"-?[0-9]+", text) else text
    return [each.strip() for each in text.split(",")] if "array" in types else text


# ── conversion ───────────────────────────────────────────────────────────────────────────────────────────


def read_settings(config: Mapping[str, Any], own: Mapping[str, Any], schema: Mapping[str, Any]) -> Settings:
    """Return all settings, with defaults for those that are not set, and each with the type of its schema if it fits.

    Args:
        config: the settings as given. Numbers may be Decimals; settings from the environment may be texts.
        own: JSON Schema of the tap's own settings.
        schema: JSON Schema of all settings, also the SDK's.

    Raises:
        SettingError: a text should be JSON and is not.
    """
    settings: dict[str, Any] = dict(config)
    for name, setting in schema["properties"].items():
        if isinstance(value := settings.get(name), str):
            settings[name] = _value(name, value, _types(setting))
    for name, setting in own["properties"].items():
        value = _converted(settings.get(name), setting)
        settings[name] = setting.get("default") if value is None or value == "" else value
    return cast("Settings", settings)  # as it is when `check_settings` has found nothing wrong


def _converted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Convert a value to the type of its schema; one that does not fit is returned as it is.

    YAML reads a gid as a number, and a mounted file with a secret ends with a line break.
    """
    types = schema.get("type", ())
    if isinstance(value, dict):
        rest = schema.get("additionalProperties") or {}
        within = schema.get("properties", {})
        return {str(name).strip(): _converted(each, within.get(name, rest)) for name, each in value.items()}
    if isinstance(value, list):
        return [_converted(each, schema.get("items", {})) for each in value]
    if isinstance(value, str):
        value = value.strip()
    if "number" in types and isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool):
        return _number(value)
    if "integer" in types and isinstance(value, (str, float, Decimal)):
        number = _number(value)
        return int(number) if isinstance(number, float) and number.is_integer() else value
    if "pattern" in schema and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _number(value: str | float | Decimal) -> Any:
    """Convert a value to a float; one that is no finite number becomes a text, which no schema accepts as a number."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return str(value)
    return number if math.isfinite(number) else str(value)


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────


def check_settings(settings: Mapping[str, Any], schema: Mapping[str, Any], *, complete: bool = True) -> None:
    """Check the settings against their schema, and for unknown names.

    Args:
        settings: as `read_settings` returns them.
        schema: JSON Schema of all settings, also the SDK's.
        complete: whether missing credentials are an error.

    Raises:
        SettingError: a setting is wrong. The error never shows its value, which may be secret.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    # Meltano adds settings of its own, which begin with an underscore.
    names = {name for name in given if not name.startswith("_")}
    wrong = [f"{name!r} {_no_setting(name, schema['properties'])}" for name in sorted(names - {*schema["properties"]})]
    schema = {**schema, "properties": {**schema["properties"], "stream_maps": STREAM_MAPS}}
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    wrong += [f"{_path(error)} {_rule(error)}" for error in validator.iter_errors(given)]
    wrong += [
        f"{name} holds a character that cannot be sent, such as an ellipsis or a line break"
        for name in SENT
        if isinstance(settings[name], str) and UNSENDABLE.search(settings[name])
    ]
    if (
        (complete or any(settings[name] for name in GRANT))
        and not settings["sandbox"]
        and not settings["export_files"]
        and (problem := _wrong_credentials(settings))
    ):
        wrong.append(problem)
    if wrong:
        msg = f"Settings: {'; '.join(wrong)}. `tap-asana-export --about` tells of every setting."
        raise SettingError(msg)


def _no_setting(name: str, names: Collection[str]) -> str:
    """Say that a name is no setting's, and name the most similar setting."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"is no setting{f' (perhaps {close[0]}?)' if close else ''}"


def _wrong_credentials(settings: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the token or the settings of OAuth; None if nothing is."""
    given = [name for name in GRANT if settings[name]]
    missing = [name for name in GRANT if name not in given]
    oauth = "client_id, client_secret and refresh_token"
    if settings["access_token"] and given:
        return f"access_token and {', '.join(given)} are given: give either access_token, or {oauth}"
    if given and missing:
        return f"OAuth needs {oauth}; not given: {', '.join(missing)}"
    if not settings["access_token"] and not given:
        token = f"give a service account's token, or {oauth} of an OAuth app"
        return f"access_token is missing: {token}, or set sandbox to true to try the tap"
    return None


FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time", (ValueError, OverflowError))(
    lambda text: not isinstance(text, str) or bool(parse_time(text).astimezone(timezone.utc))
)
FORMATS.checks("uri", ValueError)(
    lambda text: (
        not isinstance(text, str) or (urlsplit(text).scheme in {"http", "https"} and bool(urlsplit(text).hostname))
    )
)


def _path(error: jsonschema.ValidationError) -> str:
    """Return the path of the wrong value, such as `filters.tasks[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")


def _rule(error: jsonschema.ValidationError) -> str:
    """Say what a value must be, without the value."""
    limit: Any = error.validator_value
    if error.validator == "type":
        types = [limit] if isinstance(limit, str) else limit
        return f"must be of type {' or '.join(each for each in types if each != 'null')}"
    if error.validator == "additionalProperties":
        schema, instance = cast("dict[str, Any]", error.schema), cast("dict[str, Any]", error.instance)
        unknown = ", ".join(map(repr, sorted(instance.keys() - schema.get("properties", {}).keys())))
        return f"knows no {unknown}, only {', '.join(sorted(schema.get('properties', {})))}"
    if error.validator == "enum":
        return f"must be {' or '.join(map(json.dumps, limit))}"
    rule = f"{error.validator} {limit}" if error.validator in {"format", "pattern"} else str(error.validator)
    return RULES.get(rule, "breaks the rule {rule} {limit}").format(rule=rule, limit=limit)


RULES = {
    "exclusiveMinimum": "must be more than {limit}",
    "format date-time": "must be a date-time such as 2026-01-31T00:00:00Z",
    "format uri": "must be a URL such as https://app.asana.com/api/1.0",
    "maximum": "must be at most {limit}",
    "minimum": "must be at least {limit}",
    "pattern ^[0-9]+$": "must be a gid, that is a text of digits",
    "pattern ^[A-Za-z0-9_.-]+$": "must be the name of a change that Asana announces",
    "uniqueItems": "must not name the same gid twice",
}
"""What a value must be, by keyword of JSON Schema."""
