"""Meltano with the repository's own project file: the README's first command, and `meltano config test`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import UVX, WORKSPACE

if TYPE_CHECKING:
    from tap_asana_export.sandbox import Sandbox

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

ROOT = Path(__file__).parents[1]
NOT_IN_A_CLONE = shutil.ignore_patterns(".*_cache", ".cache", ".git", ".meltano", ".venv*", "*.duckdb", "__pycache__")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("clone") / "repository", ignore=NOT_IN_A_CLONE))


def meltano(clone: Path, *arguments: str, code: int = 0, **env: str) -> str:
    """What Meltano says, and its plugin with it: of both, stdout and stderr are one pipe."""
    done = subprocess.run(
        [*UVX, "meltano", *arguments],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | env,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_the_demo_loads_an_organization_and_then_only_what_changed(clone: Path) -> None:
    project = (clone / "meltano.yml").read_text()

    def demo() -> dict[str, str]:
        return dict(re.findall(r"arrived +(\w+) +([\d,]+)", meltano(clone, "run", "demo")))

    assert demo() == {"exports": "1", "messages": "500", "tasks": "5,000", "teams": "8"}
    assert demo().keys() == {"exports", "messages", "tasks", "teams"}
    with duckdb.connect(str(clone / "output" / "asana.duckdb"), read_only=True) as database:
        [first, second] = database.sql("select \"full\", objects->>'task' from exports order by created_at").fetchall()
    assert first == (True, "5000")
    assert second[0] is False
    assert 0 < int(second[1]) < 1000
    assert (clone / "meltano.yml").read_text() == project


def test_the_environment_batch_loads_the_same_by_way_of_files(clone: Path) -> None:
    project = (clone / "meltano.yml").read_text()

    def batch() -> dict[str, str]:
        return dict(re.findall(r"arrived +(\w+) +([\d,]+)", meltano(clone, "--environment=batch", "run", "batch")))

    first, second = batch(), batch()
    assert first == {"exports": "1", "messages": "500", "tasks": "5,000", "teams": "8"}
    assert second["exports"] == "2"
    files = [
        file.relative_to(clone / "output" / "batches").parts[0] for file in clone.glob("output/batches/*/*/*.jsonl")
    ]
    assert set(files) == {"exports", "messages", "tasks", "teams"}
    assert (files.count("exports"), files.count("teams")) == (2, 2)
    assert (clone / "meltano.yml").read_text() == project


def test_meltano_config_test_looks_at_the_workspace_and_starts_no_export(clone: Path, sandbox: Sandbox) -> None:
    said = meltano(
        clone,
        "config",
        "test",
        "tap-asana-export",
        TAP_ASANA_EXPORT_API_URL=sandbox.api_url,
        TAP_ASANA_EXPORT_ACCESS_TOKEN=sandbox.access_token,
    )

    assert "Plugin configuration is valid" in said
    assert [(each.method, each.path) for each in sandbox.requests] == [
        ("GET", "/api/1.0/workspaces"),
        ("GET", f"/api/1.0/workspaces/{WORKSPACE}"),
    ]


def test_meltano_config_test_without_a_network_ends_in_one_line(clone: Path) -> None:
    said = meltano(
        clone,
        "config",
        "test",
        "tap-asana-export",
        code=1,
        TAP_ASANA_EXPORT_API_URL="http://127.0.0.1:1/api/1.0",
        TAP_ASANA_EXPORT_ACCESS_TOKEN="x",  # noqa: S106 - of nobody
    )

    assert "Plugin configuration is invalid" in said
    assert "\nGET /workspaces: there is no connection to 127.0.0.1:1 (Connection refused)." in said


def test_an_export_that_is_wanted_comes_though_stdout_and_stderr_are_one_pipe(clone: Path, sandbox: Sandbox) -> None:
    said = meltano(
        clone,
        "--environment=dev",
        "invoke",
        "tap-asana-export",
        TAP_ASANA_EXPORT_API_URL=sandbox.api_url,
        TAP_ASANA_EXPORT_ACCESS_TOKEN=sandbox.access_token,
    )

    assert said.count('"type":"RECORD","stream":"tasks"') == 40
