"""The report of a run: what it holds, that it is written however a run ends, and what the examples make of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from scripts import update_report
from tap_asana_export.sandbox import Sandbox
from tests.support.leaks import TOKEN
from tests.support.lists import only
from tests.support.scripted_api import Answer, ScriptedApi, refusal
from tests.support.tap import ROOT, WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE = f"Workspace {WORKSPACE}"
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))


def read(path: Path) -> dict[str, Any]:
    """The report, which fits its schema."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(report, SCHEMA, jsonschema.Draft202012Validator)
    return report


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "last.json"


def test_the_schema_is_as_the_script_writes_it() -> None:
    assert update_report.text_of(update_report.report_schema()) == update_report.FILE.read_text(encoding="utf-8")


def test_a_report_says_what_was_asked_what_came_and_how_long_each_phase_took(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path
) -> None:
    run = run_tap(settings_for(sandbox, report=str(place), full_export_interval=7))

    report, [export] = read(place), run.records("exports")
    assert {name: report[name] for name in ("version", "outcome", "exit_code", "signal", "records", "bytes")} == {
        "version": 1,
        "outcome": "succeeded",
        "exit_code": 0,
        "signal": None,
        "records": {"tasks": 40, "messages": 10, "teams": 3},
        "bytes": export["bytes"],
    }
    assert report["asked"]["streams"] == ["tasks", "messages", "teams"]
    assert (report["asked"]["workspaces"], report["asked"]["full_export_interval"]) == ([WORKSPACE], 7)
    [part] = report["parts"]
    phases = ["asking", "waiting_for_job", "waiting_to_read", "reading"]
    assert [each["name"] for each in part["phases"]] == phases
    assert all(each["seconds"] >= 0 for each in part["phases"])
    assert {name: part[name] for name in ("name", "outcome", "asked", "job_gid", "lines", "objects", "failure")} == {
        "name": HERE,
        "outcome": "succeeded",
        "asked": "a full export of tasks, messages and teams",
        "job_gid": export["job_gid"],
        "lines": 53,
        "objects": {"task": 40, "message": 10, "team": 3},
        "failure": None,
    }
    assert part["bytes"] == part["total_bytes"] == export["bytes"]
    assert report["requests"] == {
        "POST /exports/resource": {"count": 1, "retries": 0},
        "GET /jobs/{gid}": {"count": 1, "retries": 0},
        "GET storage": {"count": 1, "retries": 0},
    }
    assert (report["state_before"], report["state_after"]) == ({}, run.state)
    assert (report["warnings"], report["failures"], report["announcements"]) == ([], [], [])
    began, ended = (datetime.fromisoformat(report[name].replace("Z", "+00:00")) for name in ("started_at", "ended_at"))
    assert abs((ended - began).total_seconds() - report["seconds"]) < 0.01


def test_the_state_that_a_run_began_with_is_in_its_report(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path
) -> None:
    first = run_tap(settings_for(sandbox))
    second = run_tap(settings_for(sandbox, report=str(place)), state=first.state)

    report = read(place)
    assert (report["state_before"], report["state_after"]) == (first.state, second.state)
    assert report["parts"][0]["asked"].startswith("an incremental export of tasks and messages changed since ")


def test_requests_that_were_sent_again_are_counted(sandbox: Sandbox, run_tap: Callable[..., Run], place: Path) -> None:
    sandbox.retry_after = 0
    sandbox.faults = {"drop_download": 2, "server_error": 0}

    def fail_once(request: Any) -> None:
        if request.path.startswith("/api/1.0/jobs/") and not any("/jobs/" in each.path for each in sandbox.requests):
            sandbox.faults["server_error"] = 1

    sandbox.on_request = fail_once
    run = run_tap(settings_for(sandbox, report=str(place)))

    assert run.code == 0, run.stderr
    report = read(place)
    assert report["requests"]["GET /jobs/{gid}"]["retries"] == 1
    assert report["requests"]["GET storage"] == {"count": 3, "retries": 2}
    asked_again = f"GET /jobs/{report['parts'][0]['job_gid']}: Asana answered 500 Internal Server Error; trying again "
    assert report["warnings"][0].startswith(asked_again)
    assert "The download broke after" in report["warnings"][1]


def test_a_run_that_fails_says_what_to_do(sandbox: Sandbox, run_tap: Callable[..., Run], place: Path) -> None:
    sandbox.faults = {"corrupt": -1}
    run = run_tap(settings_for(sandbox, report=str(place)))

    report = read(place)
    assert (run.code, report["outcome"], report["exit_code"]) == (1, "failed", 1)
    [failure] = report["failures"]
    assert report["parts"][0]["failure"] == failure
    assert (failure["about"], failure["error"]) == (HERE, "LineError")
    assert failure["to_do"] == "Run again. If this repeats, another export is asked for."
    assert run.last_line == f"{failure['what']} {failure['to_do']}"


def test_the_report_is_json_though_what_failed_has_a_url_in_quotes(
    catalog: dict[str, Any], run_tap: Callable[..., Run], place: Path
) -> None:
    words = 'see "https://app.asana.com/-/upgrade?from=api" for your plan'
    with ScriptedApi({"/workspaces/1/tags": refusal(403, words)}) as api:
        run = run_tap(api.settings(report=str(place)), catalog=only(catalog, ["tags"]))

    assert run.code == 1
    assert 'see "https://app.asana.com/-/upgrade?***" for your plan' in read(place)["failures"][0]["what"]


def test_a_file_whose_records_cannot_be_made_has_failed_in_the_report(
    run_tap: Callable[..., Run], place: Path, tmp_path: Path
) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text('{"gid":"1","resource_type":"task","name":null,"workspace":{"gid":"1"}}\n')
    maps = {"tasks": {"shout": "name.upper()"}}
    run = run_tap({"export_files": [str(file)], "stream_maps": maps, "report": str(place)})

    assert run.code == 1
    [part] = read(place)["parts"]
    assert (part["outcome"], part["failure"]["error"], read(place)["failures"]) == (
        "failed",
        "MapError",
        [part["failure"]],
    )


def test_of_several_workspaces_the_report_tells_which_failed(run_tap: Callable[..., Run], place: Path) -> None:
    with Sandbox(workspaces=3, tasks=5, messages=1, teams=1, large=0, job_seconds=0, change_interval=0) as sandbox:
        sandbox.faults = {"forbidden": 1}
        run = run_tap(settings_for(sandbox, workspaces=[], report=str(place)))

    report = read(place)
    assert (run.code, report["outcome"]) == (1, "failed")
    assert sorted(part["outcome"] for part in report["parts"]) == ["failed", "succeeded", "succeeded"]
    assert [each["about"] for each in report["failures"]] == [HERE]
    assert report["records"]["tasks"] == 10


def test_a_token_that_is_wrong_is_in_the_report_too(sandbox: Sandbox, run_tap: Callable[..., Run], place: Path) -> None:
    wrong = settings_for(sandbox) | {"access_token": TOKEN[::-1], "workspaces": [], "report": str(place)}
    run = run_tap(wrong)

    report = read(place)
    assert run.code == 1
    assert report["failures"] == [
        {
            "about": None,
            "error": "AnswerError",
            "what": "GET /workspaces: Asana answered 401: Not Authorized.",
            "to_do": ("The token is wrong, expired or revoked: set access_token, or the settings of OAuth, anew."),
        }
    ]
    assert (report["parts"], report["requests"]) == ([], {"GET /workspaces": {"count": 1, "retries": 0}})


def test_a_run_that_is_deferred_says_so(sandbox: Sandbox, run_tap: Callable[..., Run], place: Path) -> None:
    sandbox.job_seconds = 3600
    run = run_tap(settings_for(sandbox, wait_timeout=0, defer=True, report=str(place)))

    report = read(place)
    assert (run.code, report["outcome"], report["exit_code"]) == (0, "deferred", 0)
    assert (report["parts"][0]["outcome"], report["parts"][0]["job_status"]) == ("deferred", "not_started")


def test_a_run_that_a_signal_ends_writes_its_report(
    sandbox: Sandbox, arguments: Callable[..., list[str]], place: Path
) -> None:
    sandbox.job_seconds = 3600
    tap = subprocess.Popen(
        arguments(settings_for(sandbox, poll_interval=30, report=str(place))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert tap.stderr is not None
    while b"export job" not in tap.stderr.readline():
        pass
    tap.send_signal(signal.SIGTERM)
    out, _ = tap.communicate(timeout=30)

    report = read(place)
    assert (tap.returncode, report["outcome"], report["exit_code"], report["signal"]) == (143, "ended", 143, "SIGTERM")
    assert report["parts"][0]["outcome"] == "unfinished"
    assert report["state_after"] == json.loads(out.strip().split(b"\n")[-1])["value"]


def test_lists_and_activity_are_in_the_report(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path, catalog: dict[str, Any]
) -> None:
    selected = only(catalog, ["tasks", "users", "deletions"])
    settings = settings_for(sandbox, report=str(place))
    first = run_tap(settings, catalog=selected)
    gone = next(each["gid"] for each in sandbox.objects(WORKSPACE, "task") if not each["parent"])
    sandbox.organizations[WORKSPACE].delete(gone)
    run = run_tap(settings, catalog=selected, state=first.state)

    assert run.code == 0, run.stderr
    parts = {each["name"]: each for each in read(place)["parts"]}
    assert {name: each["kind"] for name, each in parts.items()} == {
        HERE: "resource",
        f"{HERE}, activity": "activity",
        f"{HERE}, users": "list",
    }
    assert parts[f"{HERE}, users"]["records"] == {"users": 50}
    assert parts[f"{HERE}, users"]["pages"] == 1
    assert parts[f"{HERE}, activity"]["deletions"] >= 1


def test_a_file_that_was_exported_earlier_has_its_report_with_fields_that_no_schema_knows(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path, tmp_path: Path
) -> None:
    file = tmp_path / "export.jsonl"
    lines = [json.dumps({**each, "mood": "good"}) for each in sandbox.objects(WORKSPACE, "task")]
    file.write_text("\n".join(lines))
    run = run_tap({"export_files": [str(file)], "workspaces": [WORKSPACE], "report": str(place)})

    assert run.code == 0, run.stderr
    [part] = read(place)["parts"]
    assert (part["kind"], part["outcome"], part["records"]["tasks"]) == ("file", "succeeded", 40)
    assert part["bytes"] == part["total_bytes"] == file.stat().st_size
    assert part["unknown_fields"] == {"tasks": ["mood"]}


def test_a_report_that_cannot_be_written_is_warned_of(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = run_tap(settings_for(sandbox, report=str(tmp_path / "file" / "report.json")))

    assert run.code == 0
    assert [each for each in run.warnings if "The report cannot be written to" in each]


def test_a_place_that_does_not_exist_at_all_is_an_error_before_anything_is_asked(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox, report="nowhere://report.json"))

    assert (run.code, len(sandbox.requests)) == (1, 0)
    assert run.last_line.startswith("Settings: report names nowhere://report.json, which cannot be used: ")


def test_the_table_of_the_run_is_in_the_log(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox))

    table = [line.split(" | ", 3)[3] for line in run.stderr.split("\n") if "tap_asana_export.progress" in line]
    assert re.split(" {2,}", table[0]) == [
        "part",
        "outcome",
        "asked",
        "waited",
        "read",
        "of it written",
        "size",
        "records",
    ]
    assert re.split(" {2,}", table[1])[::7] == [HERE, "40 tasks, 10 messages, 3 teams"]
    assert table[2] == ("Requests: GET /jobs/{gid} 1, GET storage 1, POST /exports/resource 1")
    assert re.fullmatch(r"The run succeeded after \d+ s: 53 records, \d+ kB", table[3])


# ── the examples ──────────────────────────────────────────────────────────────────────────────────────────

SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*"(,(?=[a-z]))?)+\})? -?[0-9.e+-]+')
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


def example(name: str, place: Path) -> str:
    program = ROOT / "examples" / "report" / f"{name}.py"
    return subprocess.run([sys.executable, program, place], capture_output=True, check=True, text=True).stdout


def test_the_example_for_prometheus_makes_samples_of_a_report(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path
) -> None:
    run_tap(settings_for(sandbox, report=str(place)))

    lines = example("prometheus", place).splitlines()
    assert [each for each in lines if not each.startswith("# ") and not SAMPLE.fullmatch(each)] == []
    assert 'asana_export_run_outcome{outcome="succeeded"} 1' in lines
    assert 'asana_export_records{stream="tasks"} 40' in lines
    assert 'asana_export_requests{endpoint="GET /jobs/{gid}"} 1' in lines
    typed = [each.split()[2] for each in lines if each.startswith("# TYPE")]
    assert {re.split("[{ ]", each)[0] for each in lines if not each.startswith("#")} <= {*typed}
    assert len(typed) == len({*typed})


def test_the_example_for_slack_makes_a_short_message_of_a_report(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path
) -> None:
    sandbox.faults = {"forbidden": 1}
    run_tap(settings_for(sandbox, report=str(place)))

    text = json.loads(example("slack", place))["text"]
    assert re.match(r":x: \*Asana export failed after \d s\*: no record\n", text)
    assert "POST /exports/resource: Asana answered 403: Access denied." in text
    assert "*What to do:* Either another export of this workspace is in progress" in text

    report = read(place)
    report["failures"] *= 50
    place.write_text(json.dumps(report))
    assert len(json.loads(example("slack", place))["text"]) <= 2900


@pytest.mark.parametrize("name", ["prometheus", "slack"])
def test_the_examples_say_in_words_that_there_is_no_report(name: str, tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "report" / f"{name}.py")
    for arguments, said in {
        (): "Turns the report of a run into",
        (str(tmp_path / "no"),): f"{tmp_path}/no is no report: ",
    }.items():
        done = subprocess.run([sys.executable, program, *arguments], capture_output=True, check=False, text=True)
        assert (done.returncode, done.stderr.startswith(said)) == (1, True), done.stderr


# ── changes of the API ────────────────────────────────────────────────────────────────────────────────────

CHANGES = {"new_goals": "https://forum.asana.com/t/1", "string_ids": "https://forum.asana.com/t/2"}


def test_changes_that_asana_announces_are_said_once_with_their_link(
    sandbox: Sandbox, run_tap: Callable[..., Run], place: Path
) -> None:
    sandbox.announcements = CHANGES
    run = run_tap(settings_for(sandbox, report=str(place)))

    said = [each for each in run.warnings if "Asana announces a change of its API" in each]
    assert [each.partition(": ")[2] for each in said] == [
        f"{link}. The settings asana_enable and asana_disable take it early or late." for link in CHANGES.values()
    ]
    assert "string_ids, which affects this run" in said[1]
    assert read(place)["announcements"] == [
        {"name": name, "info": link, "affected": True} for name, link in CHANGES.items()
    ]


def test_settings_take_a_change_early_or_late(sandbox: Sandbox, run_tap: Callable[..., Run], place: Path) -> None:
    sandbox.announcements = CHANGES
    settings = settings_for(sandbox, report=str(place), asana_enable=["new_goals"], asana_disable=["string_ids", "x"])
    run_tap(settings)

    [post] = [each for each in sandbox.requests if each.method == "POST"]
    assert (post.headers["asana-enable"], post.headers["asana-disable"]) == ("new_goals", "string_ids,x")
    [download] = [each for each in sandbox.requests if "/download/" in each.path]
    assert download.headers.keys().isdisjoint({"asana-enable", "asana-disable"})
    assert read(place)["announcements"] == []


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("name=a;info=https://x.example/1;affected=true", [("a", "https://x.example/1", True)]),
        ("name=a; info=https://x.example/1, name=b", [("a", "https://x.example/1", False), ("b", None, False)]),
        ("name=a;info=javascript:alert(1)", [("a", None, False)]),
        ("", []),
        ("nonsense", []),
    ],
)
def test_announcements_are_read_as_asana_writes_them(
    header: str,
    names: list[tuple[str, str | None, bool]],
    catalog: dict[str, Any],
    run_tap: Callable[..., Run],
    place: Path,
) -> None:
    answer = Answer(200, {"data": {"gid": "1", "resource_type": "workspace"}}, {"Asana-Change": header})
    with ScriptedApi({"/workspaces/1": answer}) as api:
        run_tap(api.settings(report=str(place)), catalog=only(catalog, ["workspaces"]))
    assert [(each["name"], each["info"], each["affected"]) for each in read(place)["announcements"]] == names


def test_a_change_has_a_name_that_can_be_sent(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox, asana_enable=["a, b"]))
    assert run.last_line.startswith("Settings: asana_enable[0] must be the name of a change that Asana announces.")


def test_the_docs_tell_of_every_property_of_the_report() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    for name, definition in SCHEMA["$defs"].items():
        rows = page.partition(f"\n### {name}\n")[2].partition("\n#")[0]
        told = {
            each for cell in re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE) for each in re.findall(r"`(\w+)`", cell)
        }
        assert told == definition["properties"].keys(), name


@pytest.mark.soak
def test_the_pictures_are_made_from_a_real_run(tmp_path: Path) -> None:
    pytest.importorskip("termios")
    from scripts.update_pictures import make_pictures  # noqa: PLC0415 - Windows has no pseudo-terminals

    make_pictures(tmp_path, tasks=3000)
    pictures = {name: (tmp_path / name).read_text(encoding="utf-8") for name in ("run.svg", "table.svg")}
    assert "parts&#160;under&#160;way" in pictures["run.svg"]
    assert "The&#160;run&#160;succeeded" in pictures["table.svg"]
