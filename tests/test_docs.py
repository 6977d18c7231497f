"""The documentation, held to the code: what it names exists, what exists it names, and its commands work."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import check_jsonschema
import msgspec
import pytest
import yaml

from scripts import update_settings
from tap_asana_export import errors
from tap_asana_export.replication.activity import ActivityState
from tap_asana_export.replication.coverage import Coverage, TableState
from tap_asana_export.replication.state import ExportState, Failures, Pending
from tap_asana_export.sandbox.faults import NAMES
from tap_asana_export.settings import check_settings, read_settings
from tap_asana_export.signals import ENDING
from tap_asana_export.sources import SOURCES
from tap_asana_export.tap import SETTINGS
from tests.support.leaks import TOKEN
from tests.support.tap import TAP, WORKSPACE, Run, settings_for
from tests.support.targets import DUCKDB, POSTGRES, prefix, target_duckdb, target_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox import Sandbox
    from tests.support.postgres import Postgres

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
OTHERS = [ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", ROOT / "benchmarks" / "README.md"]
REGENERATE = "run: uv run scripts/update_settings.py"
PIPELINEWISE = ("pipelinewise-target-postgres==2.1.2",)
TARGETS = (DUCKDB, POSTGRES, PIPELINEWISE, ("target-jsonl==0.1.4",), ("meltanolabs-target-csv==0.5.0",))


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        mark: what the comment before it says, such as `run` or `file: meltano.yml`.
        language: what the page says of it.
        text: its lines.
    """

    mark: str
    language: str
    text: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^(?:<!-- ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def of_language(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page), 1)
        if block.language == language
    ]


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    _, found, rest = f"\n{read(page)}".partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    return re.split(rf"^#{{2,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


# ── what is generated ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", list(update_settings.files()))
def test_what_repeats_the_settings_is_as_the_script_writes_it(path: str) -> None:
    assert read(ROOT / path) == update_settings.files()[path], REGENERATE


def test_every_setting_that_the_groups_of_the_docs_name_exists() -> None:
    grouped = list(itertools.chain.from_iterable(update_settings.GROUPS.values()))
    assert sorted(grouped) == sorted(update_settings.own_settings()), "see GROUPS in scripts/update_settings.py"


def words(text: str) -> set[str]:
    return set(text.split())


# From https://github.com/meltano/hub, schemas/, of August 2026.
HUB_KEYS = words("""
    name pip_url variant namespace label description executable settings docs repo logo_url hidden python
    settings_group_validation commands capabilities metadata schema select maintenance_status quality domain_url
    keywords requires definition next_steps settings_preamble usage prereq supported_python_versions log_parser
""")
HUB_SETTING_KEYS = words("""
    name aliases label value placeholder kind description tooltip documentation env value_processor
    value_post_processor oauth options docs hidden sensitive
""")
HUB_KINDS = words("""
    oauth hidden password date_iso8601 file email integer options object array boolean string decimal
""")
HUB_CAPABILITIES = words("""
    properties catalog discover state about stream-maps schema-flattening activate-version batch test log-based
    structured-logging
""")


def test_the_definition_for_the_hub_is_as_the_hub_wants_it() -> None:
    hub = yaml.safe_load(read(ROOT / "hub" / "tap-asana-export.yml"))
    assert hub.keys() <= HUB_KEYS
    assert {"name", "namespace", "variant", "quality"} <= hub.keys()
    assert set(hub["capabilities"]) <= HUB_CAPABILITIES
    assert hub["maintenance_status"] in {"active", "beta", "development", "inactive", "unknown"}
    assert hub["quality"] in {"gold", "silver", "bronze", "unknown"}
    assert all(re.fullmatch(r"3\.\d+", version) for version in hub["supported_python_versions"])
    for setting in hub["settings"]:
        assert setting.keys() <= HUB_SETTING_KEYS
        assert setting.get("kind", "string") in HUB_KINDS
        assert (setting.get("kind") == "password") == setting.get("sensitive", False)
        assert all(isinstance(each["value"], str) for each in setting.get("options", []))
    names = [setting["name"] for setting in hub["settings"]]
    assert {name for group in hub["settings_group_validation"] for name in group} <= set(names)
    # Its yamllint wants keys in order; its formatter sorts the settings too.
    assert list(hub) == sorted(hub)
    assert names == sorted(names)
    assert {setting["name"] for setting in hub["settings"] if setting.get("sensitive")} == {
        "access_token",
        "client_id",
        "client_secret",
        "refresh_token",
    }


# ── README and pages ──────────────────────────────────────────────────────────────────────────────────────


def test_the_readme_is_for_somebody_in_a_hurry() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 120


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\((docs/[\w-]+\.md)", read(ROOT / "README.md")))
    assert linked >= {str(page.relative_to(ROOT)) for page in PAGES if page.parent.name == "docs"}


def headings(text: str) -> set[str]:
    """The anchors that a page has, as GitHub makes them."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    names = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names} | set(
        re.findall(r'<a id="([^"]+)">', text)
    )


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in headings(read(file))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("block", of_language("json"))
def test_every_block_of_json_holds_settings_that_can_be_used(block: Block) -> None:
    own = SETTINGS.to_dict()
    schema = {**own, "properties": update_settings.all_settings()}
    given = json.loads(block.text)
    # A header takes no `…`, which stands for a secret.
    given = {name: "secret" if value == "…" else value for name, value in given.items()}
    check_settings(read_settings({"sandbox": True, **given}, own, schema), schema)


@pytest.mark.parametrize("block", of_language("yaml"))
def test_every_block_of_yaml_can_be_read(block: Block) -> None:
    assert yaml.safe_load(block.text)


@pytest.mark.parametrize("block", of_language("python"))
def test_every_block_of_python_can_be_read(block: Block) -> None:
    assert ast.parse(block.text).body


posix = pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")


@posix
@pytest.mark.parametrize("block", of_language("sh"))
def test_every_block_of_shell_can_be_read(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


# ── streams ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_docs_tell_of_every_stream_with_its_key() -> None:
    text = read(ROOT / "docs" / "streams.md")
    objects = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| (`[^|]+`) \|$", text, re.MULTILINE)
    rows = re.findall(
        r"^\| `(\w+)` \| (`[^|]+`) \| [^|]+ \|$",
        section(ROOT / "docs" / "streams.md", "## Rows within objects"),
        re.MULTILINE,
    )
    graphs = re.findall(r"^\| `(graph_\w+)` \| [^|]+ \|$", text, re.MULTILINE)
    for title in ("## Lists", "## Activity"):
        found = section(ROOT / "docs" / "streams.md", title)
        rows += re.findall(r"^\| `(\w+)` \| (`[^|]+`) \| [^|]+ \|$", found, re.MULTILINE)
    told = {name: tuple(re.findall(r"`(\w+)`", keys)) for name, keys in [*objects, *rows]}
    told |= dict.fromkeys(graphs, ("parent_gid", "gid"))
    assert told == {"exports": ("gid",)} | {source.stream: source.keys for source in SOURCES}


def test_the_docs_tell_which_streams_come_by_default() -> None:
    objects = section(ROOT / "docs" / "streams.md", "## Objects")
    assert set(re.findall(r"^\| `(\w+)` \|", objects, re.MULTILINE)) == {
        "exports",
        *(source.stream for source in SOURCES if source.by_default),
    }


def test_the_docs_tell_of_every_property_of_an_export() -> None:
    told = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", section(ROOT / "docs" / "streams.md", "## The record of an export"), re.MULTILINE
    )
    schema = json.loads(read(ROOT / "schemas" / "exports.json"))
    assert {name for names in told for name in re.findall(r"`(\w+)`", names)} == set(schema["properties"])


def test_the_diagram_has_every_table_with_its_keys() -> None:
    diagrams = "".join(block.text for block in blocks(ROOT / "docs" / "streams.md") if block.language == "mermaid")
    entities = {
        name: dict(re.findall(r"^ +string (\w+) ?(.*)$", body, re.MULTILINE))
        for name, body in re.findall(r"^  (\w+) \{\n(.*?)^  \}", diagrams, re.MULTILINE | re.DOTALL)
    }
    parents = {"task": "tasks", "message": "messages", "team": "teams"}
    foreign = {source.stream: {f"{kind}_gid" for kind in source.resource_types if source.array} for source in SOURCES}
    wanted: dict[str, dict[str, str]] = {"exports": {"gid": "PK", "workspace_gid": "", "parent_gid": ""}}
    for source in SOURCES:
        columns = dict.fromkeys([*source.keys, *(name for name in source.added if name.endswith("_gid"))])
        wanted[source.stream] = {
            name: ", ".join(["PK"] * (name in source.keys) + ["FK"] * (name in foreign[source.stream]))
            for name in columns
        }
    assert entities == wanted
    relations = re.findall(r"^  (\w+) \|\|--o\{ (\w+) : has$", diagrams, re.MULTILINE)
    assert sorted(relations) == sorted(
        (parents[kind], source.stream) for source in SOURCES if source.array for kind in source.resource_types
    )


# ── state, exit codes, errors ─────────────────────────────────────────────────────────────────────────────


def test_the_docs_tell_of_every_key_of_the_state() -> None:
    text = section(ROOT / "docs" / "state-and-recovery.md", "## The state")
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)?) \|", text, re.MULTILINE))))
    kinds: tuple[type, ...] = (TableState, Coverage, ExportState, Pending, ActivityState)
    assert told == {each.encode_name for kind in kinds for each in msgspec.structs.fields(kind)}
    assert {each.encode_name for each in msgspec.structs.fields(Failures)} <= set(re.findall(r"`(\w+)`", text))


def test_the_docs_tell_of_every_exit_code(run_tap: Callable[..., Run], sandbox: Sandbox) -> None:
    text = section(ROOT / "docs" / "state-and-recovery.md", "## Exit codes")
    assert re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)[1:] == ["0", "1", "2", "128 + *n*"]
    assert sorted(re.findall(r"(\d{3}) (SIG\w+)", text)) == sorted((str(128 + each), each.name) for each in ENDING)
    assert run_tap(settings_for(sandbox), "--no-such-option").code == 2
    assert run_tap(settings_for(sandbox, no_such_setting=1)).code == 1
    assert run_tap(settings_for(sandbox)).code == 0


def classes(of: type[Exception]) -> Iterator[type[Exception]]:
    for each in of.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from classes(each)


def test_every_error_has_its_place_in_troubleshooting() -> None:
    told = re.findall(r"^### (\w+)$", section(ROOT / "docs" / "troubleshooting.md", "## Errors"), re.MULTILINE)
    assert sorted(told) == sorted({each.__name__ for each in classes(errors.TapError)})


def sentences() -> str:
    """All texts of the tap's code, a line each, with `…` for what is put into them."""
    lines = []
    for path in (ROOT / "tap_asana_export").rglob("*.py"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.JoinedStr):
                parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
                lines.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines.append(re.sub(r"%(?:\.0f|[sd])", "…", node.value))
    return "\n".join(" ".join(line.split()) for line in lines)


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("troubleshooting.md", "## Errors"),
        ("troubleshooting.md", "## Warnings"),
        ("deletions.md", "## When a full export comes by itself"),
    ],
)
def test_every_sentence_that_the_docs_quote_is_one_of_the_tap_s(page: str, heading: str) -> None:
    text = section(ROOT / "docs" / page, heading)
    quoted = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)]
    pieces = {
        piece.strip(" .")
        for each in quoted
        if not re.search(r"^pip |: true$|\[", each)
        for piece in each.split("…")
        if len(piece.split()) > 1
    }
    said = sentences()
    assert len(pieces) > 3
    assert sorted(piece for piece in pieces if piece not in said) == []


def test_the_docs_tell_of_every_option_of_the_sandbox_with_its_default() -> None:
    text = section(ROOT / "docs" / "sandbox.md", "## Options")
    told: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`--[^|]+) \| ([^|]+) \|", text, re.MULTILINE):
        options = re.findall(r"`(--[\w-]+)`", names)
        values = re.split(r",\s*(?![^(]*\))", defaults.replace("`", ""))
        told |= dict(zip(options, values * (len(options) if len(values) == 1 else 1), strict=True))
    done = subprocess.run(
        [sys.executable, "-m", "tap_asana_export.sandbox", "--help"],
        capture_output=True,
        check=True,
        env=os.environ | {"COLUMNS": "1000"},
        text=True,
    )
    options = re.findall(r"^  (--[\w-]+) .*?\(default: (.*?)\)$", done.stdout, re.MULTILINE | re.DOTALL)
    words_for = {"5.0": "5", "1.0": "1", "True": "true", "{}": "none"}
    assert told == {name: words_for.get(default, default) for name, default in options}


def test_the_docs_tell_of_every_fault_of_the_sandbox_once() -> None:
    told = re.findall(r"^\| (`[^|]+) \|", section(ROOT / "docs" / "sandbox.md", "## Faults"), re.MULTILINE)
    assert sorted(name for names in told for name in re.findall(r"`(\w+)`", names)) == sorted(NAMES)


# ── blocks that are run ───────────────────────────────────────────────────────────────────────────────────


def has(page: Path, *marks: str) -> bool:
    return any(block.mark in marks for block in blocks(page))


INSTALLED = """#!/usr/bin/env bash
# What the docs install is there already, in the versions that are tested.
for each in "$@"; do
  case " tool install --with tap-asana-export uv %s " in *" $each "*) ;; *) echo "not tested: $each" >&2; exit 1;; esac
done
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with what the blocks call besides the tap; targets and Meltano are installed when they are called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    uv = f"{sys.executable} -m uv"
    texts = {
        "pip": INSTALLED % " ".join(itertools.chain.from_iterable(TARGETS)),
        "uv": f'#!/usr/bin/env bash\n[ "$1 $2" != "tool install" ] && exec {uv} "$@" || exec pip "$@"\n',
        "uvx": '#!/usr/bin/env bash\nexec "$@"\n',
        "meltano": f'#!/usr/bin/env bash\nexec {uv} tool run --quiet meltano "$@"\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def with_targets(programs: Path) -> None:
    for requirements in TARGETS:
        for program in (prefix(*requirements) / "bin").glob("target-*"):
            if not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)


def run_blocks(page: Path, marks: set[str], programs: Path, folder: Path, sandbox: Sandbox) -> str:
    """Run a page's blocks in their order, in one folder; returns what they said."""
    settings = settings_for(sandbox)
    variables = {
        "PATH": f"{programs}:{Path(TAP[0]).parent}:{os.environ['PATH']}",
        "HOME": str(folder.parent / "home"),
        "UV_CACHE_DIR": uv_cache(),
        "TAP_ASANA_EXPORT_API_URL": sandbox.api_url,
        "TAP_ASANA_EXPORT_ACCESS_TOKEN": TOKEN,
        "TAP_ASANA_EXPORT_POLL_INTERVAL": "0.1",
    }
    mine = json.dumps({name: settings[name] for name in ("access_token", "api_url", "poll_interval")})[1:-1]
    said = ""
    for block in blocks(page):
        text = block.text.replace('"access_token": "…"', mine).replace("ACCESS_TOKEN=…", f"ACCESS_TOKEN={TOKEN}")
        kind, _, name = block.mark.partition(": ")
        if kind in {"file", "add to"}:
            text = re.sub(r"pip_url: tap-asana-export\b", f"pip_url: {ROOT}", text)
            (folder / name).write_text(NEW.get(name, "") * (kind == "add to") + text)
        elif block.mark in marks:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=folder,
                env=os.environ | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}"
            said += done.stdout
    return said


def uv_cache() -> str:
    done = subprocess.run([sys.executable, "-m", "uv", "cache", "dir"], capture_output=True, check=True, text=True)
    return done.stdout.strip()


NEW = {"meltano.yml": "default_environment: dev\nenvironments:\n- name: dev\n"}
"""What `meltano init` writes, as far as it counts."""

STATE = {"bookmarks": {"exports": {"partitions": [{"context": {"workspace_gid": WORKSPACE}, "pending": {}}]}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, beside a home."""
    (tmp_path / "home").mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.mark.soak
@posix
@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "run")], ids=lambda page: page.stem)
def test_commands_that_the_docs_give_can_be_run(page: Path, programs: Path, folder: Path, sandbox: Sandbox) -> None:
    if page.stem == "state-and-recovery":
        if not shutil.which("jq"):
            pytest.skip("jq is not installed")
        (folder / "state.json").write_text(json.dumps(STATE))
    run_blocks(page, {"run"}, programs, folder, sandbox)
    if page.stem == "state-and-recovery":
        state = json.loads((folder / "state.json").read_text())
        assert state["bookmarks"]["exports"]["partitions"][0]["pending"] is None


@pytest.mark.external
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "run: external")], ids=lambda page: page.stem)
def test_commands_with_targets_and_meltano_can_be_run(
    page: Path, programs: Path, folder: Path, sandbox: Sandbox
) -> None:
    with_targets(programs)
    (folder / "examples").symlink_to(ROOT / "examples")
    if page.stem in {"README", "batch-and-warehouses"}:
        duckdb = pytest.importorskip("duckdb")
    said = run_blocks(page, {"run: external"}, programs, folder, sandbox)
    if page.stem in {"README", "batch-and-warehouses"}:
        with duckdb.connect(str(folder / "asana.duckdb"), read_only=True) as database:
            assert database.sql("select count(*) from tasks").fetchall() == [(40,)]
    assert ("Plugin configuration is valid" in said) is (page.stem == "README")


def queries(mark: str) -> list[str]:
    [text] = [block.text for block in blocks(ROOT / "docs" / "targets.md") if block.mark == mark]
    return [each.strip() for each in re.sub("--.*", "", text).split(";") if each.strip()]


@pytest.mark.external
def test_the_queries_for_duckdb_find_rows(sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    target = target_duckdb(tmp_path, add_metadata_columns=True)
    feed(run_tap(settings_for(sandbox)), target.command)
    with duckdb.connect(str(tmp_path / "asana.duckdb"), read_only=True) as database:
        found = [len(database.sql(query).fetchall()) for query in queries("duckdb")]
    assert all(found)
    assert found[-1] == 40


@pytest.mark.external
@pytest.mark.parametrize("which", ["postgres", "pipelinewise"])
def test_the_queries_for_postgresql_find_rows(
    which: str, sandbox: Sandbox, postgres: Postgres, run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    folder = tmp_path / f"docs_{which}"
    folder.mkdir()
    if which == "postgres":
        command = target_postgres(postgres, folder).command
    else:
        config = {"host": str(postgres.socket), "port": 5432, "user": "postgres", "password": "x", "dbname": "postgres"}
        config |= {"default_target_schema": folder.name, "add_metadata_columns": True}
        (folder / "target.json").write_text(json.dumps(config))
        command = [str(prefix(*PIPELINEWISE) / "bin" / "target-postgres"), "--config", str(folder / "target.json")]
    feed(run_tap(settings_for(sandbox)), command)
    found = [
        postgres.query(f"set search_path to {folder.name}; select count(*) from ({query}) as query")  # noqa: S608 - the docs' own
        for query in queries(which)
    ]
    assert all(count for [count] in found)


def feed(run: Run, command: list[str]) -> None:
    assert run.code == 0, run.stderr
    done = subprocess.run(command, input=run.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_docs_name_the_versions_of_targets_that_are_tested() -> None:
    tested = set(itertools.chain.from_iterable(TARGETS))
    pages = [*PAGES, ROOT / "meltano.yml"]
    assert {each for page in pages for each in re.findall(r"[\w-]+==[\d.]*\d", read(page))} <= tested
    told = dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+)", read(ROOT / "docs" / "targets.md"), re.MULTILINE))
    assert {each for each in tested if not each.startswith("duckdb")} <= {f"{name}=={told[name]}" for name in told}


# ── the repository's own files ────────────────────────────────────────────────────────────────────────────

GITHUB = ROOT / ".github"
SCHEMAS = {
    "vendor.github-workflows": [*GITHUB.glob("workflows/*.yml")],
    "custom.github-workflows-require-timeout": [*GITHUB.glob("workflows/*.yml")],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.github-issue-forms": [GITHUB / "ISSUE_TEMPLATE" / "bug.yml", GITHUB / "ISSUE_TEMPLATE" / "question.yml"],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.meltano": [ROOT / "meltano.yml"],
}
"""Files, by the schema that check-jsonschema has of them."""


@pytest.mark.parametrize("schema", list(SCHEMAS))
def test_files_for_github_and_meltano_fit_their_schemas(schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert SCHEMAS[schema]
    with pytest.raises(SystemExit) as ended:
        check_jsonschema.main(["--builtin-schema", schema, *map(str, SCHEMAS[schema])])
    assert ended.value.code == 0, capsys.readouterr().out


def test_every_action_is_pinned_to_a_version() -> None:
    for workflow in SCHEMAS["vendor.github-workflows"]:
        used = re.findall(r"uses: (\S+)", read(workflow))
        assert used
        assert [each for each in used if not re.search(r"@v\d+(\.\d+)*$", each)] == []


def test_the_checks_run_on_every_python_that_the_package_names() -> None:
    checks = yaml.safe_load(read(GITHUB / "workflows" / "checks.yml"))
    assert checks["jobs"]["test"]["strategy"]["matrix"]["python"] == update_settings.supported_python_versions()


def test_the_changelog_tells_of_the_version() -> None:
    version = re.search(r'^version = "(.+)"$', read(ROOT / "pyproject.toml"), re.MULTILINE)
    assert version
    changelog = read(ROOT / "CHANGELOG.md")
    entries = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert version[1] in entries
    for entry, text in re.findall(r"^## \[(.+?)\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL):
        kinds = re.findall(r"^### (\w+)$", text, re.MULTILINE)
        assert len(kinds) == len(set(kinds)), f"{entry} has a heading twice"
