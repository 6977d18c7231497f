"""What a user gives the tap: settings out of files and the environment, and the words for what is wrong with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.access import is_config_test
from tap_asana_export.errors import SettingError
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sources import SOURCES
from tap_asana_export.tap import SETTINGS, TapAsanaExport
from tests.support.tap import WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

TELLS = " `tap-asana-export --about` tells of every setting."
TOKEN = "SECRET1234"  # noqa: S105 - of nothing


def refusal(config: dict[str, Any]) -> str:
    """What is said of settings."""
    with pytest.raises(SettingError) as refused:
        TapAsanaExport(config=config)
    return str(refused.value)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"acces_token": TOKEN}, "'acces_token' is no setting (perhaps access_token?)"),
        ({"workspace": ["1200"]}, "'workspace' is no setting (perhaps workspaces?)"),
        ({"stream_map": {}}, "'stream_map' is no setting (perhaps stream_maps?)"),
        ({"colour": "red"}, "'colour' is no setting"),
        (
            {"pol_interval": 1, "defr": True},
            "'defr' is no setting (perhaps defer?); 'pol_interval' is no setting (perhaps poll_interval?)",
        ),
    ],
    ids=str,
)
def test_an_unknown_setting_is_an_error_with_the_name_that_was_meant(given: dict[str, Any], cause: str) -> None:
    assert refusal({"sandbox": True} | given) == f"Settings: {cause}.{TELLS}"


def test_an_unknown_setting_ends_the_run_before_anything_is_asked(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox, workspace=[WORKSPACE]))

    assert (run.code, run.stdout) == (1, b"")
    assert run.last_line == f"Settings: 'workspace' is no setting (perhaps workspaces?).{TELLS}"
    assert not sandbox.requests


def test_settings_of_the_sdk_and_of_meltano_are_known() -> None:
    settings = {
        "stream_maps": {"tasks": {"__key_properties__": None, "gid": None, "size": "len(name)"}},
        "stream_map_config": {"anything": 1},
        "faker_config": {"seed": 1},
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "flattening_separator": "__",
        "batch_config": None,
        "emit_activate_version_messages": True,
        "_log_parser": "singer-sdk",
        "_select": ["tasks.*"],
    }
    TapAsanaExport(config={"sandbox": True, **settings})


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_that_ends_its_line_is_stripped(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    settings = settings_for(sandbox) | {"access_token": f" {sandbox.access_token}\n", "api_url": f"{sandbox.api_url} "}
    run = run_tap(settings, "--test")

    assert (run.code, {each.headers["authorization"] for each in sandbox.requests}) == (
        0,
        {f"Bearer {sandbox.access_token}"},
    )


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\0", "\x7f", "…", "\u200b"], ids=ascii)
@pytest.mark.parametrize(
    "name", ["access_token", "client_id", "client_secret", "refresh_token", "user_agent", "api_url"]
)
def test_what_cannot_be_sent_is_refused_without_showing_it(name: str, inside: str, run_tap: Callable[..., Run]) -> None:
    oauth = dict.fromkeys(("client_id", "client_secret", "refresh_token"), "987")
    settings = (oauth if name in oauth else {"access_token": "987"}) | {name: f"https://{TOKEN}.test/{inside}{TOKEN}"}
    run = run_tap(settings)

    assert (run.code, run.stdout) == (1, b"")
    assert run.last_line == (
        f"Settings: {name} holds a character that cannot be sent, such as an ellipsis or a line break.{TELLS}"
    )
    assert TOKEN not in run.stderr


def test_numbers_are_gids_and_texts_are_numbers() -> None:
    given = {
        "sandbox": True,
        "workspaces": [1200, " 1201 "],
        "graph_parents": [1300],
        "job_gids": {"1200": 991, 1300: "992"},
        "filters": {"tasks": [{"assignee.any": [77, "78"]}]},
        "overlap": "90",
        "full_export_interval": 7.0,
        "poll_interval": "0.5",
        "wait_timeout": " 60 ",
    }
    tap = TapAsanaExport(config=given)

    wanted = {
        "workspaces": ["1200", "1201"],
        "graph_parents": ["1300"],
        "job_gids": {"1200": "991", "1300": "992"},
        "filters": {"tasks": [{"assignee.any": ["77", "78"]}]},
        "overlap": 90,
        "full_export_interval": 7,
        "poll_interval": 0.5,
        "wait_timeout": 60.0,
    }
    assert {**tap.settings, **wanted} == tap.settings


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"workspaces": [1.5]}, "workspaces[0] must be of type string"),
        ({"workspaces": [True]}, "workspaces[0] must be of type string"),
        ({"workspaces": [-1]}, "workspaces[0] must be a gid, that is a text of digits"),
        ({"workspaces": [1200, "1200"]}, "workspaces must not name the same gid twice"),
        ({"workspaces": 1200}, "workspaces must be of type array"),
        ({"workspaces": "My Company"}, "workspaces[0] must be a gid, that is a text of digits"),
        ({"sandbox": "perhaps"}, "sandbox must be of type boolean or object"),
        ({"graph_parents": ["x"]}, "graph_parents[0] must be a gid, that is a text of digits"),
        ({"job_gids": {"My Company": "1"}}, "job_gids must be a gid, that is a text of digits"),
        ({"job_gids": {"1200": "latest"}}, "job_gids.1200 must be a gid, that is a text of digits"),
        ({"full_export_interval": 0}, "full_export_interval must be at least 1"),
        ({"full_export_interval": 10**9}, "full_export_interval must be at most 3650"),
        ({"overlap": 10**30}, "overlap must be at most 315360000"),
        ({"overlap": 1.5}, "overlap must be of type integer"),
        ({"poll_interval": 0}, "poll_interval must be more than 0"),
        ({"poll_interval": "nan"}, "poll_interval must be of type number"),
        ({"poll_interval": float("nan")}, "poll_interval must be of type number"),
        ({"wait_timeout": "inf"}, "wait_timeout must be of type number"),
        ({"request_timeout": 1e300}, "request_timeout must be at most 86400"),
        ({"start_date": "9999-12-31T23:59:59-12:00"}, "start_date must be a date-time such as 2026-01-31T00:00:00Z"),
        ({"defer": "perhaps"}, "defer must be of type boolean"),
        ({"api_url": "app.asana.com/api/1.0"}, "api_url must be a URL such as https://app.asana.com/api/1.0"),
        ({"batch_config": "s3"}, "batch_config must be of type object"),
        ({"batch_config": {"storage": {"root": 1}}}, "batch_config.storage.root must be of type string"),
        ({"stream_maps": {"tasks": 7}}, "stream_maps.tasks must be of type object or string"),
        ({"stream_maps": {"tasks": {"name": 7}}}, "stream_maps.tasks.name must be of type string"),
        ({"stream_maps": {"__else__": "name"}}, 'stream_maps.__else__ must be null or "__NULL__"'),
        ({"flattening_max_depth": "deep"}, "flattening_max_depth must be of type integer"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused_by_name(given: dict[str, Any], cause: str) -> None:
    assert refusal({"access_token": TOKEN} | given) == f"Settings: {cause}.{TELLS}"


def test_discovery_needs_no_token_but_right_settings(run_tap: Callable[..., Run]) -> None:
    assert json.loads(run_tap({}, "--discover").stdout)["streams"]
    run = run_tap({"batch_config": "s3"}, "--discover")

    assert (run.code, run.stdout, run.last_line) == (1, b"", f"Settings: batch_config must be of type object.{TELLS}")


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gs"), ("gcs", "gs"), ("az", "az"), ("abfs", "az")])
def test_a_store_that_needs_a_package_is_told_with_its_extra(
    sandbox: Sandbox, run_tap: Callable[..., Run], scheme: str, extra: str
) -> None:
    url = f"{scheme}://lake"
    needs = f"{scheme}:// needs a package: pip install tap-asana-export[{extra}]."
    batches = run_tap(settings_for(sandbox, batch_config={"storage": {"root": url}}))
    files = run_tap({"export_files": [url], "workspaces": ["1200"]})

    assert (batches.code, batches.last_line) == (1, f"Settings: batch_config.storage.root cannot be used: {needs}")
    assert (files.code, files.last_line) == (1, f"Settings: export_files names {url}, which cannot be read: {needs}")
    assert not sandbox.requests


def test_params_of_a_store_that_it_does_not_know(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    storage = {"root": "http://127.0.0.1/", "params": {"client_kwargs": TOKEN}}
    for params in (7, {"protocol": 3, "fo": TOKEN}):
        run = run_tap(settings_for(sandbox, batch_config={"storage": storage | {"params": params}}))
        assert run.code == 1
        assert run.last_line.startswith("Settings: batch_config.storage")
        assert TOKEN not in run.stderr


# ── Asana's answers that settings are the cause of ────────────────────────────────────────────────────────


def test_a_token_that_sees_no_workspace_is_an_error(run_tap: Callable[..., Run]) -> None:
    with Sandbox(workspaces=1, tasks=1) as sandbox:
        sandbox.organizations.clear()
        for options in ([], ["--test"]):
            run = run_tap(settings_for(sandbox, workspaces=[]), *options)

            assert (run.code, run.records("exports"), run.last_line) == (
                1,
                [],
                "The token sees no workspace: its user must be a member of one. Check that the token is the right one.",
            )


def test_a_wrong_job_gid_is_named(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    unknown = run_tap(settings_for(sandbox, job_gids={WORKSPACE: "404"}))
    elsewhere = run_tap(settings_for(sandbox, job_gids={"1201": "991"}))

    assert (unknown.code, unknown.last_line) == (
        1,
        "GET /jobs/404: Asana answered 404: job: Unknown object: 404. Asana does not know the job, or it is another "
        "token's: check the setting job_gids, or begin without the job in the state.",
    )
    assert (elsewhere.code, elsewhere.last_line) == (
        1,
        f"The setting job_gids names 1201, which this run does not export: there is Workspace {WORKSPACE}.",
    )


# ── the environment ───────────────────────────────────────────────────────────────────────────────────────


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TAP_ASANA_EXPORT_{name}", value)


def test_every_kind_of_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(
        monkeypatch,
        SANDBOX='{"tasks": 3}',
        ACCESS_TOKEN=f"{TOKEN}\n",
        WORKSPACES="1200, 1201",
        GRAPH_PARENTS="[1300]",
        JOB_GIDS='{"1200": 991}',
        POLL_INTERVAL="0.5",
        OVERLAP="90",
        DEFER="yes",
        START_DATE="",
        API_URL=" ",
        FLATTENING_MAX_DEPTH="2",
        LOGLEVEL="ERROR",
        SANDBOX_TASKS="3",
        _CATALOG="catalog.json",
    )
    settings = TapAsanaExport(config={"overlap": 1}, parse_env_config=True).settings

    wanted: dict[str, Any] = {
        "sandbox": {"tasks": 3},
        "access_token": TOKEN,
        "workspaces": ["1200", "1201"],
        "graph_parents": ["1300"],
        "job_gids": {"1200": "991"},
        "poll_interval": 0.5,
        "overlap": 90,
        "defer": True,
        "start_date": None,
        "api_url": "https://app.asana.com/api/1.0",
        "flattening_max_depth": 2,
    }
    assert {**settings, **wanted} == settings


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ('{"tasks": 3}', {"tasks": 3})])
def test_a_text_as_meltano_passes_it_on_from_a_setting_without_kind_is_what_it_says(text: str, value: Any) -> None:
    settings = TapAsanaExport(
        config={"access_token": "x", "sandbox": text, "workspaces": "1200", "filters": ""}
    ).settings

    assert (settings["sandbox"], settings["workspaces"], settings["filters"]) == (value, ["1200"], {})


def test_without_config_env_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, ACCES_TOKEN=TOKEN, OVERLAP="x")

    assert TapAsanaExport(config={"sandbox": True}).settings["overlap"] == 60


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("ACCES_TOKEN", TOKEN, "{variable} is no setting (perhaps access_token?)."),
        ("COLOUR", TOKEN, "{variable} is no setting."),
        ("SANDBOX", '{"tasks": ', "{variable} is not JSON: Expecting value: line 1 column 10 (char 9)."),
        ("FILTERS", "[nonsense", "{variable} is not JSON: Expecting value: line 1 column 2 (char 1)."),
        ("BATCH_CONFIG", '{"a": NaN}', "{variable} cannot be read."),
        ("OVERLAP", "long", f"overlap must be of type integer.{TELLS}"),
        ("DEFER", "perhaps", f"defer must be of type boolean.{TELLS}"),
        ("FILTERS", "none", f"filters must be of type object.{TELLS}"),
    ],
    ids=str,
)
def test_a_variable_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, run_tap: Callable[..., Run], name: str, value: str, cause: str
) -> None:
    environment(monkeypatch, **{name: value})
    run = run_tap({"access_token": "x"}, "--config=ENV")

    assert (run.code, run.stdout, run.last_line) == (
        1,
        b"",
        "Settings: " + cause.format(variable=f"the environment variable TAP_ASANA_EXPORT_{name}"),
    )
    assert TOKEN not in run.stderr


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────

FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "Cannot read {file}: No such file or directory. Check the path."),
    "no JSON": (
        b'{"a": nonsense}',
        "Cannot read {file}: it is not JSON: Expecting value: line 1 column 7 (char 6). Correct the file.",
    ),
    "not UTF-8": (b'{"a": "\xff"}', "Cannot read {file}: it is not UTF-8. Correct the file."),
    "a name twice": (b'{"a": 1, "a": 2}', "Cannot read {file}: it names 'a' twice. Correct the file."),
    "NaN": (b'{"a": NaN}', "Cannot read {file}: it is not JSON: NaN. Correct the file."),
    "deep": (b"[" * 100_000, "Cannot read {file}: it is nested too deep. Correct the file."),
}


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_named(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path, option: str, name: str
) -> None:
    content, cause = FILES[name]
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    run = run_tap(settings_for(sandbox), f"--{option}={path}")

    assert (run.code, run.stdout) == (1, b"")
    assert run.last_line == cause.format(file=f"the file given with --{option}, '{path}'")
    assert not sandbox.requests


@pytest.mark.parametrize("option", ["config", "state", "catalog"])
def test_a_folder_in_place_of_a_file(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path, option: str
) -> None:
    run = run_tap(settings_for(sandbox), f"--{option}={tmp_path}")

    assert (run.code, run.last_line) == (
        1,
        f"Cannot read the file given with --{option}, '{tmp_path}': Is a directory. Check the path.",
    )


@pytest.mark.parametrize("content", ["[1]", '"x"', "7", "true"])
def test_a_file_of_settings_that_holds_no_object(run_tap: Callable[..., Run], content: str) -> None:
    run = run_tap(content)

    assert run.code == 1
    assert run.last_line.startswith("The file given with --config, '")
    assert run.last_line.endswith("', holds no JSON object. Correct the file.")


def test_settings_of_a_later_file_come_before_those_of_an_earlier_one_whatever_its_byte_order_mark(
    sandbox: Sandbox, run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    settings, later = settings_for(sandbox), tmp_path / "later.json"
    later.write_text(json.dumps({"access_token": settings["access_token"]}), encoding="utf-8-sig")
    run = run_tap(settings | {"access_token": "wrong"}, f"--config={later}", "--test")

    assert run.code == 0


def test_about_as_text_describes_every_setting(run_command: Callable[..., Run]) -> None:
    about = run_command({}, "--about").stdout.decode()
    told = re.findall(r"^  - Name: (\w+)\n    (.+)$", about, re.MULTILINE)
    assert {name for name, text in told if not text.startswith("Type: ")} >= SETTINGS.to_dict()["properties"].keys()
    assert "    Token of a service account, or a personal access token." in about


# ── the test of the connection ────────────────────────────────────────────────────────────────────────────


def test_testing_the_connection_starts_no_export_and_writes_no_message(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap(settings_for(sandbox), "--test")

    assert (run.code, run.stdout) == (0, b"")
    assert [(each.method, each.path) for each in sandbox.requests] == [("GET", f"/api/1.0/workspaces/{WORKSPACE}")]
    assert f"Workspace {WORKSPACE}: the token is accepted." in run.stderr
    assert "METRIC" not in run.stderr
    assert run.last_line == (
        "The test is over. It looked at the settings, the token and 1 workspace, and found nothing wrong. It did not "
        "look at filters or the target, and cannot tell whether the token may export: only an export shows that."
    )


def test_testing_the_schema_writes_the_schemas_of_all_streams_and_asks_nothing(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap({**settings_for(sandbox), "stream_maps": {"tasks": {"name": "md5(name)"}}}, "--test=schema")

    assert (run.code, len(sandbox.requests)) == (0, 0)
    streams = sorted(["exports", *(each.stream for each in SOURCES)])
    assert [(each["type"], each["stream"]) for each in run.messages] == [("SCHEMA", stream) for stream in streams]


def test_there_is_no_other_test(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(settings_for(sandbox), "--test=scheme")

    assert (run.code, run.stdout) == (2, b"")
    assert run.last_line == "Error: Invalid value for '--test': 'scheme'; there are --test and --test=schema."


def test_a_token_for_exports_alone_passes_the_test_with_a_word(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.refused_lists = {"workspaces": 403}
    run = run_tap(settings_for(sandbox), "--test")

    assert run.code == 0
    assert f"Workspace {WORKSPACE}: the token is accepted, but may not look at the workspace." in run.stderr


def test_testing_export_files_reads_none(run_tap: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("{nonsense")
    run = run_tap({"export_files": [str(file)]}, "--test")

    assert (run.code, run.of("RECORD")) == (0, [])
    assert f"File {file} is there." in run.stderr
    assert "It did not look at what the files hold, nor at the target." in run.last_line


def test_testing_the_connection_without_a_network_ends_within_seconds_and_says_what_it_tried(
    run_tap: Callable[..., Run],
) -> None:
    with Sandbox() as gone:
        settings = settings_for(gone)
    run = run_tap(settings, "--test")

    assert (run.code, run.of("RECORD")) == (1, [])
    assert run.last_line.startswith(f"GET /workspaces/{WORKSPACE}: there is no connection to 127.0.0.1:")
    assert run.stderr.count("trying again") <= 1
    assert f"Workspace {WORKSPACE}: asking Asana for it." in run.stderr


@pytest.mark.parametrize(
    ("line", "is_test"),
    [
        ("/usr/bin/python3 /venv/bin/meltano config test tap-asana-export", True),
        ("/usr/bin/python3 /venv/bin/meltano --log-level=debug --environment dev config tap-asana-export test", True),
        ("C:/venv/meltano.exe config --plugin-type extractor test tap-asana-export", True),
        ("/usr/bin/python3 /venv/bin/meltano invoke tap-asana-export", False),
        ("/usr/bin/python3 /venv/bin/meltano --environment config invoke tap-asana-export test", False),
        ("/usr/bin/python3 /venv/bin/meltano --environment=test run tap-asana-export target-test", False),
        ("/usr/bin/python3 /venv/bin/meltano test tap-asana-export config", False),
        ("/bin/sh -c ./config test", False),
        ("", False),
    ],
)
def test_meltano_config_test_is_told_by_its_command_line(line: str, is_test: bool) -> None:  # noqa: FBT001
    assert is_config_test(line.split(" ")) is is_test


def test_under_another_command_line_an_export_is_wanted(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    done = subprocess.run(
        arguments(settings_for(sandbox)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env=os.environ | {"MELTANO_EXTRACTOR_NAME": "tap-asana-export"},
    )

    assert done.stdout.count(b'"type":"RECORD","stream":"tasks"') == 40


# ── the command as a whole ────────────────────────────────────────────────────────────────────────────────


def test_a_fault_of_the_tap_is_one_line_that_shows_no_value(
    sandbox: Sandbox, run_tap: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> None:
        raise ZeroDivisionError(TOKEN)

    monkeypatch.setattr("tap_asana_export.run.export_roots", break_down)
    run = run_tap(settings_for(sandbox))

    assert run.code == 1
    assert run.last_line.startswith("Unexpected ZeroDivisionError in ")
    assert run.last_line.endswith("This is a fault of the tap: please report this line. LOGLEVEL=DEBUG tells more.")
    assert "Traceback" not in run.stderr
    assert TOKEN not in run.stderr


@pytest.mark.soak
@pytest.mark.parametrize("options", [[], ["--discover"]])
def test_stdout_that_is_closed(sandbox: Sandbox, arguments: Callable[..., list[str]], options: list[str]) -> None:
    line = " ".join([*arguments(settings_for(sandbox)), *options])
    done = subprocess.run(["sh", "-c", f"{line} >&-"], stderr=subprocess.PIPE, text=True, check=False)

    last_line = done.stderr.strip().split("\n")[-1].split(" | ")[-1]
    assert (done.returncode, last_line) == (
        1,
        "Cannot write to stdout (it is closed). See to what takes it, the target or the disk, then run again.",
    )


def test_stderr_that_is_closed_keeps_no_record_back(sandbox: Sandbox, arguments: Callable[..., list[str]]) -> None:
    line = " ".join(arguments(settings_for(sandbox)))
    done = subprocess.run(["sh", "-c", f"{line} 2>&-"], stdout=subprocess.PIPE, check=False)

    assert (done.returncode, len(Run(0, done.stdout, "").records("tasks"))) == (0, 40)


def test_a_catalog_into_a_full_disk_is_an_error(arguments: Callable[..., list[str]]) -> None:
    line = " ".join([*arguments({}), "--discover"])
    done = subprocess.run(["sh", "-c", f"{line} >/dev/full"], stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .split("\n")[-1]
        .split(" | ")[-1]
        .startswith("Cannot write to stdout (No space left on device).")
    )


def test_a_log_level_that_does_not_exist_is_named_with_its_variable(run_command: Callable[..., Run]) -> None:
    run = run_command({"sandbox": True}, env={"LOGLEVEL": "NOISE"})

    assert run.code == 1
    assert run.last_line == ("The environment variable LOGLEVEL must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG.")


def test_a_file_of_variables_in_the_present_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_tap: Callable[..., Run]
) -> None:
    tmp_path.joinpath(".env").write_text("TAP_ASANA_EXPORT_WORKSPACES=5x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAP_ASANA_EXPORT_WORKSPACES", raising=False)
    run = run_tap({"sandbox": True}, "--config=ENV")

    assert (run.code, "Settings: workspaces[0] must be a gid" in run.last_line) == (1, True)


@pytest.mark.soak
@pytest.mark.parametrize("option", ["--about", "--version"])
def test_what_cannot_be_written_to_stdout_is_no_fault_of_the_tap(
    option: str, arguments: Callable[..., list[str]]
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*arguments(None), option], stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1
    assert "Cannot write to stdout (No space left on device)" in done.stderr.decode()
