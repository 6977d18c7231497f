"""The report: one file that asks nothing of any network, shows what the models hold, and can be read everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.support.consumers import PROJECT
from tests.support.dbt import DBT, in_duckdb
from tests.support.lists import only
from tests.support.tap import settings_for
from tests.support.targets import STREAMS, load, prefix, target_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tap_asana_export.sandbox import Sandbox
    from tests.support.dbt import Warehouse

pytestmark = [pytest.mark.external, pytest.mark.timeout(900)]

duckdb = pytest.importorskip("duckdb", reason="duckdb 1.2.2 has no wheel for this Python")

LOADING = {"src", "href", "srcset", "data", "action", "xlink:href"}
CHARTS = 6


class Elements(HTMLParser):
    """The elements of a page, and the attributes that make a browser ask for something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked_for: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked_for += [str(value) for name, value in attrs if name in LOADING or name.startswith("on")]


def report(warehouse: Warehouse) -> Path:
    """Write the report of what was built."""
    path = warehouse.folder / "asana.html"
    program = [str(prefix(*DBT) / "bin" / "python"), str(PROJECT / "report" / "report.py")]
    line = [*program, warehouse.environment["ASANA_MODELS"], str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return path


def text_of(html: str) -> str:
    """What a page says, without its drawings and its style."""
    without = re.sub(r"<(style|svg|title)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without).split())


def test_the_report_is_one_file_with_the_numbers_and_a_table_and_words_behind_each_chart(
    sandbox: Sandbox, catalog: dict[str, Any], arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    name = "<script>alert('name')</script> & co."
    for user in list(sandbox.listed("1200000000000001", "users")):
        sandbox.organizations["1200000000000001"].touch(user["gid"], name=name)
    target = target_duckdb(tmp_path, add_metadata_columns=True, flush_all_streams=True)
    load(arguments(settings_for(sandbox), catalog=only(catalog, ["exports", *STREAMS, "users", "workspaces"])), target)
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    warehouse.dbt("run")
    path = report(warehouse)
    html = path.read_text()

    elements = Elements()
    elements.feed(html)
    assert "script" not in elements.tags
    assert elements.asked_for == []
    assert not re.search(r"url\(|@import|https?:", html)
    assert elements.tags.count("svg") == len(re.findall(r'<svg [^>]*role="img"><title>[^<]+</title>', html))
    assert 0 < elements.tags.count("svg") == elements.tags.count("details") <= CHARTS
    assert elements.tags.count("table") >= elements.tags.count("svg")
    assert "&lt;script&gt;alert(" in html

    tasks = warehouse.rows("asana_tasks")
    still_open = [task for task in tasks if not task["is_completed"]]
    assert f" {len(still_open)} open tasks " in text_of(html)
    assert f" {sum(task['is_overdue'] for task in tasks)} overdue " in text_of(html)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    look_at(path)


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "asana.duckdb")).close()
    warehouse = in_duckdb(tmp_path, tmp_path / "asana.duckdb")
    warehouse.dbt("run")
    html = report(warehouse).read_text()
    assert "There is no export yet." in html
    assert html.count("There is nothing to show.") == html.count("<figure>")


def look_at(path: Path) -> None:
    """Open the page in Chromium, where it is installed: nothing is logged, and it is as wide as a phone."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return
    for width in (360, 1100):
        shot = path.with_suffix(f".{width}.png")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]
        done = subprocess.run(
            [browser, *options, f"--window-size={width},2000", f"--screenshot={shot}", path.as_uri()],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr
        assert shot.stat().st_size > 10_000
