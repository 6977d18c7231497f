"""What is shipped and what is told of it: the wheel, `--about` and meltano.yml."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_asana_export.sources import SOURCES
from tests.support.tap import TAP

ROOT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv", "--quiet")


def run(*command: object) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(*TAP, "--about", "--format=json"))
    return told


@pytest.mark.external
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


def test_meltano_knows_every_capability(about: dict[str, Any]) -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    assert sorted(project["plugins"]["extractors"][0]["capabilities"]) == sorted(about["capabilities"])


def test_no_test_imports_a_test() -> None:
    tests = Path(__file__).parent
    imported = {
        (file.name, node.module)
        for file in tests.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and re.search(r"^tests\.(.*\.)?(test_|conftest)", node.module or "")
    }
    assert imported == set()
