"""Meltano with the repository's own project file: the README's first command, and `meltano config test`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.tap import UVX, WORKSPACE

if TYPE_CHECKING:
    from tap_asana_export.sandbox import Sandbox

pytestmark = pytest.mark.external

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


def counts(path: Path) -> dict[str, str]:
    """By table, the rows that the only export so far brought; the organization lives, so that nobody knows before."""
    with duckdb.connect(str(path), read_only=True) as database:
        [(objects,)] = database.sql("select objects::varchar from exports").fetchall()
    return {"exports": "1"} | {f"{kind}s": f"{count:,}" for kind, count in json.loads(objects).items()}


def test_no_environment_writes_into_the_file_of_another() -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    plugins = project["plugins"]
    [usual] = [each["config"]["path"] for each in plugins["loaders"] if each["name"] == "target-duckdb"]
    databases = {}
    for environment in project["environments"]:
        loaders = environment.get("config", {}).get("plugins", {}).get("loaders", [])
        databases[environment["name"]] = next((each["config"]["path"] for each in loaders), usual)

    assert databases == {
        "demo": "output/demo.duckdb",
        "batch": "output/asana.duckdb",  # of a target, which no job runs there
        "dev": "output/asana.duckdb",
    }
    paths = {
        environment["name"]: {
            name: path.removeprefix("$MELTANO_PROJECT_ROOT/output/") for name, path in environment["env"].items()
        }
        for environment in project["environments"]
    }
    assert paths == {
        "demo": {"ASANA_TABLES": "demo-asana.duckdb", "ASANA_MODELS": "demo-answers.duckdb"},
        "batch": {"ASANA_BATCHES": "demo-batches/", "ASANA_BATCH_TABLES": "demo-batch.duckdb"},
        "dev": {
            "ASANA_TABLES": "asana.duckdb",
            "ASANA_MODELS": "answers.duckdb",
            "ASANA_BATCHES": "batches/",
            "ASANA_BATCH_TABLES": "batch.duckdb",
        },
    }
    shown = {name: line.split()[-1] for name, line in plugins["utilities"][0]["commands"].items()}
    assert shown == {"show": databases["demo"], "load": "$ASANA_BATCH_TABLES", "show-batch": "$ASANA_BATCH_TABLES"}


def test_the_demo_loads_an_organization_and_then_only_what_changed(clone: Path) -> None:
    project = (clone / "meltano.yml").read_text()

    def demo() -> dict[str, str]:
        return dict(re.findall(r"arrived +(\w+) +([\d,]+)", meltano(clone, "run", "demo")))

    path = clone / "output" / "demo.duckdb"
    assert demo() == counts(path)
    assert demo().keys() == {"exports", "messages", "tasks", "teams"}
    with duckdb.connect(str(path), read_only=True) as database:
        [first, second] = database.sql("select \"full\", objects->>'task' from exports order by created_at").fetchall()
    assert first[0] is True
    assert 4900 < int(first[1]) < 5100
    assert second[0] is False
    assert 0 < int(second[1]) < 1000
    assert (clone / "meltano.yml").read_text() == project


def test_batch_loads_the_sandbox_or_ones_own_organization_by_way_of_files(clone: Path, sandbox: Sandbox) -> None:
    project = (clone / "meltano.yml").read_text()

    def batch() -> dict[str, str]:
        return dict(re.findall(r"arrived +(\w+) +([\d,]+)", meltano(clone, "--environment=batch", "run", "batch")))

    assert batch() == counts(clone / "output" / "demo-batch.duckdb")
    assert batch()["exports"] == "2"
    files = [
        file.relative_to(clone / "output" / "demo-batches").parts[0]
        for file in clone.glob("output/demo-batches/*/*/*.jsonl")
    ]
    assert set(files) == {"exports", "messages", "tasks", "teams"}
    assert (files.count("exports"), files.count("teams")) == (2, 2)
    assert (clone / "meltano.yml").read_text() == project

    meltano(
        clone,
        "--environment=dev",
        "run",
        "batch",
        TAP_ASANA_EXPORT_API_URL=sandbox.api_url,
        TAP_ASANA_EXPORT_ACCESS_TOKEN=sandbox.access_token,
    )
    assert counts(clone / "output" / "batch.duckdb") == {"exports": "1", "messages": "10", "tasks": "40", "teams": "3"}


@pytest.mark.timeout(1200)
def test_the_answers_are_a_report_of_the_sandbox_or_of_ones_own_organization(clone: Path, sandbox: Sandbox) -> None:
    report = clone / "output" / "asana.html"
    for _ in range(2):  # what dbt has written is not in the way of the target
        assert f"The report is in {report.relative_to(clone)}." in meltano(clone, "run", "answers")
        html = report.read_text()
        assert "<h1>Sandbox 1</h1>" in html
        assert html.count("<svg") == 6
        report.unlink()
    with duckdb.connect(str(clone / "output" / "demo-asana.duckdb"), read_only=True) as database:
        assert database.sql("select count(*) from exports where kind = 'resource'").fetchall() == [(2,)]

    meltano(
        clone,
        "--environment=dev",
        "run",
        "answers",
        TAP_ASANA_EXPORT_API_URL=sandbox.api_url,
        TAP_ASANA_EXPORT_ACCESS_TOKEN=sandbox.access_token,
    )
    still_open = sum(not task["completed"] for task in sandbox.objects(WORKSPACE, "task"))
    assert f"<b>{still_open}</b><span>open tasks</span>" in report.read_text()
    assert {path.name for path in (clone / "output").glob("*.duckdb")} >= {"asana.duckdb", "answers.duckdb"}


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
