"""The README's first command, in a fresh copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import UVX

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

ROOT = Path(__file__).parents[1]


def test_the_demo_loads_an_organization_and_then_only_what_changed(tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*_cache", ".git", ".meltano", ".venv*", "*.duckdb"))
    before = (copy / "meltano.yml").read_text()

    def demo() -> dict[str, int]:
        done = subprocess.run([*UVX, "meltano", "run", "demo"], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shown = re.findall(r"arrived +(\w+) +([\d,]+)", done.stdout + done.stderr)
        return {name: int(count.replace(",", "")) for name, count in shown}

    first = demo()
    assert first["exports"] == 1
    assert (first["tasks"], first["messages"], first["teams"]) == (5000, 500, 8)

    second = demo()
    assert second["exports"] == 2
    assert second.keys() == first.keys()
    with duckdb.connect(str(copy / "output" / "asana.duckdb"), read_only=True) as database:
        brought = database.sql("select \"full\", objects->>'task' from exports order by created_at").fetchall()
    assert brought[0] == (True, "5000")
    assert brought[1][0] is False
    assert 0 < int(brought[1][1]) < 1000
    assert (copy / "meltano.yml").read_text() == before
