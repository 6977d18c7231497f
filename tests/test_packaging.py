"""What is shipped and what is told of it: the wheel, README, `--about` and meltano.yml."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_asana_export.sources import SOURCES
from tests.conftest import TAP

ROOT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv", "--quiet")
FROM_THE_SDK = ("stream_map", "flattening_", "faker_", "batch_config")


def run(*command: object) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(*TAP, "--about", "--format=json"))
    return told


@pytest.fixture(scope="module")
def own_settings(about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = about["settings"]["properties"]
    return {name: each for name, each in properties.items() if not name.startswith(FROM_THE_SDK)}


def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    run(*UV, "build", "--wheel", "--out-dir", tmp_path / "dist", ROOT)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run(*UV, "venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(*UV, "pip", "install", "--python", python, wheel)

    tap = python.parent / "tap-asana-export"
    streams = json.loads(run(tap, "--discover"))["streams"]
    assert sorted(each["tap_stream_id"] for each in streams) == sorted(["exports", *(each.stream for each in SOURCES)])
    assert json.loads(run(tap, "--about", "--format=json"))["name"] == "tap-asana-export"
    assert "asana-sandbox" in run(python.parent / "asana-sandbox", "--help")


def test_the_readme_tells_of_every_setting(own_settings: dict[str, dict[str, Any]]) -> None:
    _, settings = (ROOT / "README.md").read_text().split("\n## Settings\n")
    table = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", settings.partition("\n## ")[0], re.MULTILINE)
    assert table == [
        (name, "" if "default" not in each else f"`{json.dumps(each['default'])}`", each["description"])
        for name, each in own_settings.items()
    ]


def test_meltano_knows_every_setting(own_settings: dict[str, dict[str, Any]]) -> None:
    kinds = {name: name for name in ("array", "boolean", "integer", "object", "string")} | {"number": "decimal"}
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    [extractor] = project["plugins"]["extractors"]

    def as_meltano_has_it(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        [kind] = [each for each in schema["type"] if each != "null"] if len(schema["type"]) == 2 else [None]
        setting: dict[str, Any] = {"name": name, "label": schema["title"]}
        if kind:
            setting["kind"] = "date_iso8601" if schema.get("format") == "date-time" else kinds[kind]
        # Meltano cannot merge settings below an object into a default.
        if "default" in schema and kind not in {None, "object"} and name != "user_agent":
            setting["value"] = schema["default"]
        if schema.get("secret"):
            setting["sensitive"] = True
        return setting

    assert extractor["settings"] == [as_meltano_has_it(name, each) for name, each in own_settings.items()]


def test_meltano_knows_every_capability(about: dict[str, Any]) -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    assert sorted(project["plugins"]["extractors"][0]["capabilities"]) == sorted(about["capabilities"])


def test_the_readme_tells_of_every_stream() -> None:
    _, streams = (ROOT / "README.md").read_text().split("\n## Streams\n")
    named = set(re.findall(r"`(\w+)`", streams.partition("\n## ")[0]))
    assert {"exports", *(source.stream for source in SOURCES)} - named == set()
