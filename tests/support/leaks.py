"""What must be in no output of any run: the tests' secrets, and the queries of signed URLs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

MARK = "5ecret"
"""A part of every secret that tests use, so that each is found wherever it turns up."""

TOKEN = f"0/{MARK}-token-7c5a9f3e"
SIGNS = (MARK, "X-Amz-", "Bearer ")
LEAK = re.compile(rf".{{0,60}}(?:{MARK}|X-Amz-|Bearer [0-9]).{{0,20}}")

EVERYTHING = "%(asctime)s %(name)s %(levelname)s %(pathname)s %(message)s"


def require_no_secret(*outputs: str | bytes | None) -> None:
    """Fail if a secret is in what a run wrote."""
    for output in outputs:
        text = output.decode(errors="replace") if isinstance(output, (bytes, bytearray)) else output or ""
        # To look for words first takes a hundredth of the time, which every test would spend.
        found = any(sign in text for sign in SIGNS) and LEAK.search(text)
        assert not found, f"a secret got out: {found and found[0]!r}"


def log_config(file: Path | None = None) -> dict[str, Any]:
    """A foreign log configuration that has every logger write everything, as programs around a tap may set one.

    Args:
        file: where it goes; the log on stderr then stays as it is. Without it everything goes to stderr.
    """
    debug = {"formatter": "everything", "level": "DEBUG"}
    handlers: dict[str, Any] = {"everything": {**debug, "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}}
    if file:
        handlers = {
            "everything": {**debug, "class": "logging.FileHandler", "filename": str(file)},
            "console": {"class": "logging.StreamHandler", "formatter": "console", "level": "INFO"},
        }
    loggers = ("urllib3", "urllib3.connectionpool", "requests", "fsspec", "s3fs", "aiohttp", "asyncio", "botocore")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "everything": {"format": EVERYTHING},
            "console": {"()": "singer_sdk.logging.ConsoleFormatter"},
            "structured": {"()": "singer_sdk.logging.StructuredFormatter"},
        },
        "handlers": handlers,
        "loggers": {name: {"level": "DEBUG"} for name in loggers},
        "root": {"level": "DEBUG", "handlers": list(handlers)},
    }


def write_log_config(path: Path, config: dict[str, Any]) -> dict[str, str]:
    """The environment of a run that logs so."""
    path.write_text(yaml.safe_dump(config))
    return {"SINGER_SDK_LOG_CONFIG": str(path), "LOGLEVEL": "DEBUG"}
