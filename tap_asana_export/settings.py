"""Settings as the tap uses them, and what is said of one that cannot be used."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from datetime import timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

import jsonschema
from singer_sdk.configuration._dict_config import parse_environment_config

from tap_asana_export.asana.auth import GRANT
from tap_asana_export.errors import SettingError
from tap_asana_export.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX = "TAP_ASANA_EXPORT_"
"""How environment variables for settings begin."""

WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
"""What environment variables may say of a setting that is true or false."""

# What is sent as a header must be latin-1, and hold no line break.
UNSENDABLE = re.compile(r"[^\x20-\x7e\xa0-\xff]")
SENT = ("access_token", *GRANT, "user_agent", "api_url")
"""Settings that are sent to Asana as they are."""

# The SDK's own schema of it (singer-sdk 0.54.9) is none: jsonschema fails at it with AttributeError.
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

# ── where settings, catalog and state come from ───────────────────────────────────────────────────────────


def read_json(path: str, option: str) -> Any:
    """What a file holds that was given with an option of the command line; None if it is empty.

    Raises:
        SettingError: it cannot be read, or is not JSON. What it holds is never shown: it may be secret.
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
    """An object, whose names are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} twice")
    return found


def _refuse(constant: str) -> NoReturn:
    """Python's json takes NaN and Infinity, which are not JSON."""
    raise ValueError(f"it is not JSON: {constant}")


def read_config(path: str) -> dict[str, Any]:
    """Settings out of a file.

    Raises:
        SettingError: it cannot be read, or holds something else.
    """
    config = read_json(path, "config")
    if config is None or isinstance(config, dict):
        return config or {}
    raise SettingError(f"The file given with --config, {path!r}, holds no JSON object. Correct the file.")


def read_environment(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Settings out of environment variables, which are named like them; an empty one counts as not given.

    Args:
        schema: JSON Schema of the settings.

    Raises:
        SettingError: a variable is not JSON where it must be, or names no setting.
    """
    types = {name: _types(setting) for name, setting in schema["properties"].items()}
    # The SDK also looks into a file .env. It is not to make values of the texts: for it "{}" is false.
    as_texts = {"properties": {name: {"type": "string"} for name in types}}
    texts = parse_environment_config(as_texts, PREFIX)
    names = {f"{PREFIX}{name.upper()}": name for name in types}
    # Meltano's own begin with two underscores, and for each property of an object it sets a variable of its own.
    inner = tuple(f"{variable}_" for variable, name in names.items() if "object" in types[name])
    others = (f"{PREFIX}_", f"{PREFIX}LOGLEVEL", *inner)
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in names and not variable.startswith(others):
            meant = _names_none(variable.removeprefix(PREFIX).lower(), types)
            raise SettingError(f"Settings: the environment variable {variable} {meant}.")
    return {
        name: _value(f"the environment variable {PREFIX}{name.upper()}", text, types[name])
        for name, text in texts.items()
    }


def _types(setting: Mapping[str, Any]) -> list[str]:
    types: str | list[str] = setting["type"]
    return [types] if isinstance(types, str) else types


def _value(what: str, text: str, types: Collection[str]) -> Any:
    """The value of a setting that is given as text; None if that is blank."""
    if "string" in types:
        return WORDS.get(text.strip().lower(), text) if "boolean" in types else text
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
        return WORDS.get(text.lower(), text)
    if "integer" in types:
        return int(text) if re.fullmatch(r"-?[0-9]+", text) else text
    return [each.strip() for each in text.split(",")] if "array" in types else text


# ── what the tap makes of them ────────────────────────────────────────────────────────────────────────────


def read_settings(config: Mapping[str, Any], own: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, with defaults where nothing is set, gids as texts, numbers as numbers.

    Args:
        config: as it was given; there a number may be a Decimal, and what comes from the environment a text.
        own: JSON Schema of the tap's own settings.
        schema: JSON Schema of all settings, the SDK's own as well.

    Raises:
        SettingError: a text is not JSON where it must be.
    """
    settings: dict[str, Any] = dict(config)
    for name, setting in schema["properties"].items():
        if isinstance(value := settings.get(name), str):
            settings[name] = _value(name, value, _types(setting))
    for name, setting in own["properties"].items():
        value = _fitted(settings.get(name), setting)
        settings[name] = setting.get("default") if value is None or value == "" else value
    return settings


def _fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value as its schema wants it, if it can be: YAML makes a number of a gid, a mounted secret ends its line."""
    types = schema.get("type", ())
    if isinstance(value, dict):
        rest = schema.get("additionalProperties") or {}
        within = schema.get("properties", {})
        return {str(name).strip(): _fitted(each, within.get(name, rest)) for name, each in value.items()}
    if isinstance(value, list):
        return [_fitted(each, schema.get("items", {})) for each in value]
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
    """A number; what is none, or has no end, stays as it is, or becomes a text that no schema takes for a number."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return str(value)
    return number if math.isfinite(number) else str(value)


# ── what is wrong with them ───────────────────────────────────────────────────────────────────────────────


def check_settings(settings: Mapping[str, Any], schema: Mapping[str, Any], *, complete: bool = True) -> None:
    """Fail if a setting does not fit its schema, or has a name that no setting has.

    Args:
        settings: as `read_settings` has them.
        schema: JSON Schema of all settings, the SDK's own as well.
        complete: whether to fail also if one is missing.

    Raises:
        SettingError: with what is wrong, but never with a value, which may be secret.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    # Settings of Meltano's own for a plugin begin with an underscore.
    names = {name for name in given if not name.startswith("_")}
    wrong = [f"{name!r} {_names_none(name, schema['properties'])}" for name in sorted(names - {*schema["properties"]})]
    schema = {**schema, "properties": {**schema["properties"], "stream_maps": STREAM_MAPS}}
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    wrong += [f"{_path(error)} {_wish(error)}" for error in validator.iter_errors(given)]
    wrong += [
        f"{name} holds a line break or another character that cannot be sent"
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


def _names_none(name: str, names: Collection[str]) -> str:
    """What is said of a name that no setting has."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"is no setting{f' (perhaps {close[0]}?)' if close else ''}"


def _wrong_credentials(settings: Mapping[str, Any]) -> str | None:
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
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")


def _wish(error: jsonschema.ValidationError) -> str:
    """What a value should be, without the value."""
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
    rule = f"format {limit}" if error.validator == "format" else str(error.validator)
    return WISHES.get(rule, "breaks the rule {rule} {limit}").format(rule=rule, limit=limit)


WISHES = {
    "exclusiveMinimum": "must be more than {limit}",
    "format date-time": "must be a date-time such as 2026-01-31T00:00:00Z",
    "format uri": "must be a URL such as https://app.asana.com/api/1.0",
    "maximum": "must be at most {limit}",
    "minimum": "must be at least {limit}",
    "pattern": "must be a gid, that is a text of digits",
    "uniqueItems": "must not name the same gid twice",
}
"""By rule of JSON Schema."""
