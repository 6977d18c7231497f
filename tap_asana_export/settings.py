"""Settings as the tap uses them, and what is said of one that cannot be used."""

from __future__ import annotations

import contextlib
import difflib
import logging
from typing import TYPE_CHECKING, Any, cast

import jsonschema

from tap_asana_export.asana import GRANT
from tap_asana_export.errors import SettingError
from tap_asana_export.plan import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


def read_settings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, with defaults where nothing is set, and numbers as numbers.

    Args:
        config: as the SDK read it; there a number is a Decimal, or text if it came from the environment.
        schema: JSON Schema of the settings.
    """
    settings: dict[str, Any] = dict(config)
    for name, setting in schema["properties"].items():
        value = settings.get(name)
        if value is None:
            value = setting.get("default")
        if "number" in setting["type"]:
            with contextlib.suppress(ValueError, TypeError):
                value = float(value)
        settings[name] = value
    return settings


def check_settings(settings: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Fail if a setting is missing or does not fit its schema; warn of a name that no setting has.

    Raises:
        SettingError: with what is wrong, but never with a value, which may be secret.
    """
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    wrong = [f"{_path(error)} {_wish(error)}" for error in validator.iter_errors(settings)]
    if not settings["sandbox"] and not settings["export_files"] and (problem := _wrong_credentials(settings)):
        wrong.append(problem)
    if wrong:
        msg = f"Settings: {'; '.join(wrong)}. `tap-asana-export --about` tells of every setting."
        raise SettingError(msg)
    for name in settings.keys() - schema["properties"].keys():
        close = difflib.get_close_matches(name, schema["properties"], n=1)
        logger.warning("There is no setting '%s'%s; it is ignored.", name, f", but '{close[0]}'" if close else "")


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
FORMATS.checks("date-time", ValueError)(lambda text: not isinstance(text, str) or bool(parse_time(text)))


def _path(error: jsonschema.ValidationError) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path).lstrip(".")


def _wish(error: jsonschema.ValidationError) -> str:
    """What a value should be, without the value."""
    limit: Any = error.validator_value
    if error.validator == "type":
        return f"must be of type {' or '.join(each for each in limit if each != 'null')}"
    if error.validator == "additionalProperties":
        schema, instance = cast("dict[str, Any]", error.schema), cast("dict[str, Any]", error.instance)
        unknown = ", ".join(sorted(instance.keys() - schema["properties"].keys()))
        return f"knows no '{unknown}', only {', '.join(sorted(schema['properties']))}"
    if error.validator == "uniqueItems":
        return "must not name the same gid twice"
    if error.validator == "pattern":
        return "must be a gid, that is a text of digits"
    if error.validator == "format":
        return "must be a date-time such as 2026-01-31T00:00:00Z"
    return f"breaks the rule {error.validator} {limit}"
