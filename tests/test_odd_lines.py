"""Lines that are JSON but not what one expects: each makes the right records, or one error that says where and why."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from jsonschema import Draft7Validator

from tap_asana_export.errors import FileError, MapError, TapError, UnknownFieldError
from tap_asana_export.limits import Limits
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.tap import TapAsanaExport
from tests.support.selections import PARTS, on
from tests.support.tap import WORKSPACE, Run, select, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAPS: dict[str, dict[str, Any]] = {
    "verbatim": {},
    "mapped": {"stream_maps": {stream: {"__filter__": "True"} for stream in ("tasks", "messages", "teams", *PARTS)}},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
}
FOLLOWERS = on("task_followers")


class Brought(NamedTuple):
    """What became of a file."""

    messages: list[dict[str, Any]]
    error: TapError | None

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [each["record"] for each in self.messages if each["type"] == "RECORD" and each["stream"] == stream]

    def schema(self, stream: str) -> dict[str, Any]:
        [message] = [each for each in self.messages if each["type"] == "SCHEMA" and each["stream"] == stream]
        schema: dict[str, Any] = message["schema"]
        return schema


@pytest.fixture
def bring(
    tmp_path: Path, catalog: dict[str, Any], capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Brought]:
    """Read a file with these lines."""

    def read(*lines: Any, selection: dict[tuple[str, ...], bool] | None = None, **settings: Any) -> Brought:
        texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        path = tmp_path / "export.jsonl"
        path.write_bytes(b"\n".join(texts))
        chosen = {"tasks", "messages", "teams", *(stream for stream, *_ in selection or ())}
        maps = {stream: each for stream, each in settings.pop("stream_maps", {}).items() if stream in chosen}
        config = {"export_files": [str(path)], "workspaces": [WORKSPACE], "stream_maps": maps, **settings}
        given = None if selection is None else select(catalog, selection)
        capsysbinary.readouterr()
        error = None
        try:
            TapAsanaExport(config=config, catalog=given).sync_all()
        except TapError as caught:
            error = caught
        out = capsysbinary.readouterr().out
        return Brought([json.loads(line) for line in out.split(b"\n") if line], error)

    return read


def task(gid: Any, /, **properties: Any) -> dict[str, Any]:
    return {"gid": gid, "resource_type": "task", **properties}


# ── halves of characters ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", MAPS)
def test_half_a_character_comes_through_as_a_replacement_and_is_named(
    bring: Callable[..., Brought], caplog: pytest.LogCaptureFixture, way: str
) -> None:
    whole = rb'{"gid":"1","resource_type":"task","name":"whole \ud83d\uDE00 \\ud83d","notes":"\\\\\ud83d\ude00"}'
    half = (
        rb'{"gid":"2","resource_type":"task","name":"cut \ud83d","notes":"\\\\\ud83d\ude00 \\ud83d \uDE00",'
        rb'"assignee":{"gid":"9","name":"\uD800\ud83d\ude00"},"followers":[{"gid":"8","name":"x\udfff\\"}],'
        rb'"odd \ud83d":1}'
    )
    brought = bring(whole, half, selection=FOLLOWERS, **MAPS[way])

    assert brought.error is None
    first, second = brought.records("tasks")
    name = "assignee__name" if way == "flattened" else "assignee"
    assert (first["name"], first["notes"]) == ("whole \U0001f600 \\ud83d", "\\\\\U0001f600")
    assert (second["name"], second["notes"]) == ("cut \ufffd", "\\\\\U0001f600 \\ud83d \ufffd")
    assert second[name] == ("\ufffd\U0001f600" if way == "flattened" else {"gid": "9", "name": "\ufffd\U0001f600"})
    assert [row["name"] for row in brought.records("task_followers")] == ["x\ufffd\\"]
    assert [message for message in caplog.messages if "U+FFFD" in message] == [
        r"task 2: 5 times a text holds half of a character (such as \ud83d alone), which is U+FFFD in its records: "
        "no target takes it as it is."
    ]
    assert any("'odd \ufffd'" in message for message in caplog.messages)


def test_half_a_character_comes_through_in_a_document_and_in_batch_files(
    bring: Callable[..., Brought], tmp_path: Path
) -> None:
    document = rb'[{"gid":"1","resource_type":"task","name":"cut \ud83d"},{"gid":"2","resource_type":"task"}]'
    storage = {"encoding": {"format": "jsonl", "compression": "none"}, "storage": {"root": str(tmp_path / "batch")}}

    assert [row.get("name") for row in bring(document).records("tasks")] == ["cut \ufffd", None]
    assert bring(document, batch_config=storage).error is None
    [file] = (tmp_path / "batch" / "tasks").rglob("*.jsonl")
    assert [json.loads(line).get("name") for line in file.read_text().splitlines()] == ["cut \ufffd", None]


NO_UTF8 = {
    "a byte that is none": b"\xff",
    "a second byte alone": b"\x80",
    "cut off after one of two bytes": b"\xc3",
    "cut off after three of four bytes": b"\xf0\x9f\x98",
    "longer than it need be": b"\xc0\xaf",
    "longer by two bytes": b"\xf0\x80\x80\xaf",
    "half of a character": b"\xed\xa0\xbd",
    "beyond the last character": b"\xf4\x90\x80\x80",
}
JSON_LINES, PARQUET = ({"format": "jsonl", "compression": "none"}, {"format": "parquet", "compression": "none"})


@pytest.mark.parametrize("form", [None, JSON_LINES, PARQUET], ids=["records", "jsonl", "parquet"])
@pytest.mark.parametrize("text", NO_UTF8.values(), ids=NO_UTF8)
def test_what_is_no_utf8_is_an_error_that_names_the_line(
    bring: Callable[..., Brought], tmp_path: Path, text: bytes, form: dict[str, str] | None
) -> None:
    if form is PARQUET:
        pytest.importorskip("pyarrow")
    config = {"batch_config": {"encoding": form, "storage": {"root": str(tmp_path / "batch")}}} if form else {}
    good = '{"gid":"1","resource_type":"task","name":"Zo\u00eb \U0001f600 \U0010ffff"}'.encode()
    brought = bring(good, good, b'{"gid":"2","resource_type":"task","name":"' + text + b'"}', good, **config)

    assert isinstance(brought.error, FileError)
    assert "breaks at line 3: it is not UTF-8 but begins with" in str(brought.error)
    assert bring(good, good, **config).error is None


# ── values beyond what is usual ───────────────────────────────────────────────────────────────────────────

VALUES = {
    "a float beyond all floats": "1e400",
    "an integer beyond 64 bits": "123456789012345678901234567890",
    "digits without end": "0.1234567890123456789012345678901",
    "an object for a number": '{"gid":"9"}',
    "an array for a number": '[1,[2,{"a":null}]]',
    "nested deeply": "[" * 300 + "]" * 300,
    "a text": '"' + "\\u00e9\\n" * 10 + '"',
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("way", MAPS)
def test_an_unusual_value_comes_through(bring: Callable[..., Brought], way: str, value: str) -> None:
    text = VALUES[value]
    line = '{"gid":"1","resource_type":"task","num_likes":%s,"custom_fields":[{"gid":"5","number_value":%s}]}'
    brought = bring((line % (text, text)).encode(), selection=on("task_custom_fields"), **MAPS[way])

    assert brought.error is None
    [record], [row] = brought.records("tasks"), brought.records("task_custom_fields")
    fields = record["custom_fields"]
    found = [record["num_likes"], row["number_value"]]
    if way == "flattened":
        fields = json.loads(fields)
        found = [json.loads(each) if text[0] in "{[" else each for each in found]
    if value != "digits without end":
        assert [*found, fields[0]["number_value"]] == [json.loads(text)] * 3
    else:
        assert [float(each) for each in found] == [json.loads(text)] * 2


REFUSED = {
    "nested too deeply": b'{"gid":"1","resource_type":"task","name":' + b"[" * 300_000 + b"]" * 300_000 + b"}",
    "nested too deeply, unknown": b'{"gid":"1","resource_type":"task","x":' + b"[" * 300_000 + b"]" * 300_000 + b"}",
    "a number for a gid": b'{"gid":1,"resource_type":"task"}',
    "no type": b'{"gid":"1","resource_type":null}',
    "half an escape": rb'{"gid":"1","resource_type":"task","name":"\ud83"}',
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("way", MAPS)
def test_what_cannot_be_read_is_an_error_of_one_line_with_its_number(
    bring: Callable[..., Brought], way: str, name: str
) -> None:
    brought = bring(task("7"), b"", REFUSED[name], selection=FOLLOWERS, **MAPS[way])

    assert isinstance(brought.error, FileError)
    assert "export.jsonl breaks at line 3: " in str(brought.error)
    assert "\n" not in str(brought.error)
    assert len(str(brought.error)) < 500
    assert [record["gid"] for record in brought.records("tasks")] == ["7"]


@pytest.mark.parametrize("way", MAPS)
@pytest.mark.parametrize("depth", [990, 1100, 5000])
def test_a_line_nested_deeply_comes_through_or_is_an_error_of_its_line(
    bring: Callable[..., Brought], way: str, depth: int
) -> None:
    line = b'{"gid":"1","resource_type":"task","custom_fields":' + b"[" * depth + b"]" * depth + b"}"
    # Without workspaces, the lines are looked at twice.
    for workspaces in ([WORKSPACE], []):
        first = task("7", workspace={"gid": WORKSPACE}) if workspaces == [] else task("7")
        brought = bring(line, first, workspaces=workspaces, **MAPS[way])
        if brought.error is None:
            assert [record["gid"] for record in brought.records("tasks")] == ["1", "7"]
        else:
            assert "breaks at line 1: " in str(brought.error)
            assert "\n" not in str(brought.error)


@pytest.mark.parametrize("way", MAPS)
def test_of_a_property_that_comes_twice_the_last_one_counts(bring: Callable[..., Brought], way: str) -> None:
    line = b'{"gid":"0","name":"a","gid":"1","x":1,"resource_type":"task","name":"b","x":2}'

    assert [(each["gid"], each["name"]) for each in bring(line, **MAPS[way]).records("tasks")] == [("1", "b")]


def test_a_long_line_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bring: Callable[..., Brought]
) -> None:
    monkeypatch.setattr(TapAsanaExport, "limits", Limits(line=3 << 20))
    line = b'{"gid":"2","resource_type":"task","notes":"%b"}' % (b"x" * (4 << 20))
    brought = bring(task("1"), line, task("3"))

    assert str(brought.error).partition("breaks ")[2].startswith("at line 2: it is longer than 3 MB. ")
    assert [record["gid"] for record in brought.records("tasks")] == ["1"]
    monkeypatch.undo()
    assert sync({"export_files": [str(tmp_path / "export.jsonl")], "workspaces": [WORKSPACE]}).code == 0


# ── workspaces that lines name ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gid", ["../../x", "12 00", "1200\n", "١٢", "/etc"])
def test_a_workspace_that_is_no_gid_is_refused(bring: Callable[..., Brought], tmp_path: Path, gid: str) -> None:
    storage = {"encoding": {"format": "jsonl"}, "storage": {"root": str(tmp_path / "in" / "batch")}}
    lines = [task("1", stories=[]), task("2", stories=[], workspace={"gid": gid})]
    team = {"gid": "3", "resource_type": "team", "organization": {"gid": gid}}

    for each, number in ((lines, 2), ([lines[0], team], 2)):
        brought = bring(*each, workspaces=[], batch_config=storage)
        assert str(brought.error) == (
            f"File {tmp_path}/export.jsonl breaks at line {number}: a workspace's gid is digits, but here it is "
            f"{gid!a}. What came before may be out. Get the file once more, then run again."
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.jsonl"]


# ── maps and flattening ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expressions", "name", "reason"),
    [
        ({"who": "assignee['name']"}, "who", "TypeError: 'NoneType' object is not subscriptable"),
        ({"name": "self.upper()"}, "name", "AttributeDoesNotExist: Attribute 'upper' does not exist"),
        ({"a": "gid", "b": "1/0"}, "b", "ZeroDivisionError: division by zero"),
        ({"__filter__": "name > 'a'"}, "__filter__", "TypeError: '>' not supported between instances of 'NoneType'"),
        ({"who": "nobody"}, "who", "NameNotDefined: 'nobody' is not defined for expression 'nobody'"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_named_with_its_object(
    bring: Callable[..., Brought], expressions: dict[str, str], name: str, reason: str
) -> None:
    good = task("1", assignee={"name": "x"}, name="y")
    brought = bring(good, task("2", assignee=None, name=None), stream_maps={"tasks": expressions})

    assert isinstance(brought.error, MapError)
    said = str(brought.error)
    of = "1" if name == "b" or "nobody" in reason else "2"
    assert said.startswith(
        f"Workspace {WORKSPACE}: stream tasks: the expression for {name} in stream_maps cannot be evaluated for the "
        f"object with gid {of} ({reason}"
    )
    assert "\n" not in said


def test_a_map_that_fails_for_one_workspace_leaves_the_others_running(run_tap: Callable[..., Run]) -> None:
    with Sandbox(workspaces=2, tasks=20, messages=5, teams=2, large=0, change_interval=0, job_seconds=0) as sandbox:
        first, second = sandbox.organizations
        maps = {"tasks": {"odd": f"1 / int(workspace_gid != '{first}')"}}
        run = run_tap(settings_for(sandbox, workspaces=[first, second], stream_maps=maps))

    assert run.code == 1
    assert {each["workspace_gid"] for each in run.records("tasks")} == {second}
    assert "Traceback" not in run.stderr
    assert f"Workspace {first}: stream tasks: the expression for odd in stream_maps cannot" in run.last_line
    assert run.last_line.endswith("The other 1 came through.")


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("keeps", ["warn", "keep"])
def test_every_flattened_record_fits_its_schema(
    bring: Callable[..., Brought], sandbox: Sandbox, depth: int, keeps: str
) -> None:
    nulls: list[dict[str, Any]] = [
        task("1", parent=None, assignee={"gid": "9", "name": None}, custom_type_status_option=None, new={"deep": None}),
        task("2", parent={"gid": "8", "created_by": None, "new": {"a": 1}}, followers=None, memberships=[None]),
        task("3", parent="text", assignee=[1], external={"gid": "1", "data": {"x": 1}}, stories=[{"gid": "4"}, None]),
    ]
    objects = [
        json.loads(json.dumps(each))
        for kind in ("task", "message", "team")
        for each in sandbox.organizations[WORKSPACE].objects(kind, whole=True)
    ]
    brought = bring(
        *nulls,
        *objects,
        selection=on(*PARTS),
        flattening_enabled=True,
        flattening_max_depth=depth,
        unknown_fields=keeps,
    )

    assert brought.error is None
    for stream in ("tasks", "messages", "teams", *PARTS):
        validator = Draft7Validator({**brought.schema(stream), "additionalProperties": False})
        records = brought.records(stream)
        odd = ("1", "2", "3") if stream == "tasks" else ()
        wrong = [
            error.message
            for each in records
            for error in validator.iter_errors(each)
            if each.get("gid") not in odd or error.validator == "additionalProperties"
        ]
        assert (stream, wrong, bool(records)) == (stream, [], True)
    first, second, third = brought.records("tasks")[:3]
    assert (first["parent__gid"], first["assignee__name"], second["parent__gid"]) == (None, None, "8")
    if keeps == "keep":
        assert "additional_fields" in brought.schema("tasks")["properties"]
        assert json.loads(first["additional_fields"]) == {"new": {"deep": None}}
        assert [name for name in json.loads(second["additional_fields"]) if name.startswith("parent__new")]
        assert json.loads(third["additional_fields"])["parent"] == "text"
    else:
        assert "additional_fields" not in brought.schema("tasks")["properties"]


# ── unknown fields ────────────────────────────────────────────────────────────────────────────────────────

ODD = [
    task("1", name="a", new={"deep": [1, None]}, **{'to "know"': 1, "class": True}),
    task("2", new=None, followers=[{"gid": "8", "since": "2026"}, {"gid": "9", "since": 1, "über": [2]}]),
    task("3", additional_fields={"x": 1}, workspace_gid="0"),
    task("4", name="b"),
]
KEPT = [{"new": {"deep": [1, None]}, 'to "know"': 1, "class": True}, {"new": None}, {"additional_fields": {"x": 1}}]


@pytest.mark.parametrize("way", MAPS)
def test_unknown_fields_are_kept_in_a_column(
    bring: Callable[..., Brought], caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level("INFO")
    brought = bring(*ODD, selection=FOLLOWERS, unknown_fields="keep", **MAPS[way])

    def value(record: dict[str, Any]) -> Any:
        found = record.get("additional_fields")
        return json.loads(found) if way == "flattened" and found is not None else found

    assert brought.error is None
    assert list(map(value, brought.records("tasks"))) == [*KEPT, None]
    assert [record["workspace_gid"] for record in brought.records("tasks")] == [WORKSPACE] * 4
    assert list(map(value, brought.records("task_followers"))) == [{"since": "2026"}, {"since": 1, "über": [2]}]
    for stream in ("tasks", "task_followers"):
        column = brought.schema(stream)["properties"]["additional_fields"]
        assert column["type"] == (["string", "null"] if way == "flattened" else ["object", "null"])
    assert [message for message in caplog.messages if "'class'" in message] == [
        "Stream tasks: Asana sends the field 'class', unknown to the schema; kept in additional_fields."
    ]


@pytest.mark.parametrize("way", MAPS)
@pytest.mark.parametrize("setting", [{}, {"unknown_fields": "warn"}])
def test_unknown_fields_are_dropped_and_named_in_the_log_and_in_the_record_of_the_export(
    bring: Callable[..., Brought], caplog: pytest.LogCaptureFixture, way: str, setting: dict[str, str]
) -> None:
    brought = bring(*ODD, *ODD, selection=FOLLOWERS, **setting, **MAPS[way])

    assert brought.error is None
    for stream in ("tasks", "task_followers"):
        known = brought.schema(stream)["properties"].keys()
        assert "additional_fields" not in known
        assert all(record.keys() <= known for record in brought.records(stream))
    [export] = brought.records("exports")
    names = export["unknown_fields"]
    assert (json.loads(names) if way == "flattened" else names) == {
        "task_followers": ["since", "über"],
        "tasks": ["additional_fields", "class", "new", 'to "know"'],
    }
    for name in ("since", "class"):
        assert (
            sum(f"the field '{name}', which the schema does not know; it is dropped." in m for m in caplog.messages)
            == 1
        )


@pytest.mark.parametrize("way", MAPS)
@pytest.mark.parametrize(("line", "stream", "name"), [(ODD[0], "tasks", "class"), (ODD[1], "task_followers", "since")])
def test_an_unknown_field_ends_the_export_if_it_is_to(
    bring: Callable[..., Brought], way: str, line: dict[str, Any], stream: str, name: str
) -> None:
    line = {key: value for key, value in line.items() if key != "new"}
    brought = bring(ODD[3], line, selection=FOLLOWERS, unknown_fields="fail", **MAPS[way])

    assert isinstance(brought.error, UnknownFieldError)
    assert str(brought.error) == (
        f"Workspace {WORKSPACE}: stream {stream}: Asana sends the field '{name}', which the schema does not know, and "
        "unknown_fields is fail. Bookmarks stay where they were. Use a newer version of the tap, or set unknown_fields "
        "to keep or warn, then run again."
    )
    assert brought.records("exports") == []


def test_unknown_fields_of_graphs_are_kept_too(bring: Callable[..., Brought], catalog: dict[str, Any]) -> None:
    selection = {(each["tap_stream_id"],): each["tap_stream_id"].startswith("graph") for each in catalog["streams"]}
    line = {"resource_type": "project_to_portfolio", "project": {"gid": "1"}, "weight": 3}
    settings: dict[str, Any] = {"workspaces": [], "graph_parents": ["77"], "selection": selection}
    kept, dropped = bring(line, **settings, unknown_fields="keep"), bring(line, **settings)

    [record], [without] = (each.records("graph_project_to_portfolio") for each in (kept, dropped))
    assert record == {**without, "additional_fields": {"weight": 3}}
    assert "additional_fields" in kept.schema("graph_project_to_portfolio")["properties"]


def test_the_column_is_in_the_catalog_only_with_keep_and_a_catalog_of_another_setting_is_understood() -> None:
    def catalog_of(setting: str) -> Any:
        return TapAsanaExport(config={"sandbox": True, "unknown_fields": setting}).catalog_dict

    def columns(catalog: Any) -> set[str]:
        return {
            each["tap_stream_id"] for each in catalog["streams"] if "additional_fields" in each["schema"]["properties"]
        }

    keeping, warning = catalog_of("keep"), catalog_of("warn")
    assert columns(warning) == set()
    assert columns(keeping) == {each["tap_stream_id"] for each in warning["streams"]} - {"exports"}
    for catalog, setting in ((keeping, "warn"), (warning, "keep")):
        tap = TapAsanaExport(config={"sandbox": True, "unknown_fields": setting}, catalog=catalog)
        schema = tap.streams["tasks"].stream_maps[0].transformed_schema
        assert ("additional_fields" in schema["properties"]) == (setting == "keep")


def test_the_setting_changes_no_request_and_what_went_out_of_a_job_in_another_shape_does_not_count(
    sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults["truncated"] = True
    first = run_tap(settings_for(sandbox))
    sandbox.faults.clear()
    second = run_tap(settings_for(sandbox, unknown_fields="keep"), state=first.state)

    assert (first.code, second.code) == (1, 0)
    assert first.state["bookmarks"]["exports"]["partitions"][0]["pending"]["lines"] > 0
    assert len([each for each in sandbox.requests if each.method == "POST"]) == 1
    assert (len(second.records("tasks")), second.records("exports")[0]["lines"]) == (40, 53)


def test_an_unknown_setting_is_an_error(run_tap: Callable[..., Run]) -> None:
    run = run_tap({"sandbox": True, "unknown_fields": "ignore"})

    assert (run.code, "unknown_fields" in run.last_line, run.stdout) == (1, True, b"")


# ── without bounds ────────────────────────────────────────────────────────────────────────────────────────


THOUSANDS = 1500


@pytest.mark.soak
@pytest.mark.parametrize(("way", "setting"), [*itertools.product(["verbatim", "mapped"], ["warn", "keep"])])
def test_thousands_of_unknown_fields_and_types_take_no_longer_than_known_ones(
    bring: Callable[..., Brought], way: str, setting: str
) -> None:
    known = [task(str(n), name="x", followers=[{"gid": "8", "name": "y"}]) for n in range(THOUSANDS)]
    unknown = [
        task(str(n), **{f"new_{n}": n, f"no identifier {n}": n}, followers=[{"gid": "8", f"new_{n}": n}])
        for n in range(THOUSANDS)
    ]
    types = [{"gid": str(n), "resource_type": f"type_{n}", f"new_{n}": n} for n in range(THOUSANDS)]

    def seconds(*lines: Any) -> tuple[float, Brought]:
        begin = time.process_time()
        brought = bring(*lines, selection=FOLLOWERS, unknown_fields=setting, **MAPS[way])
        return time.process_time() - begin, brought

    seconds(*known)
    usual, _ = seconds(*known)
    taken, brought = seconds(*unknown, *types)

    assert brought.error is None
    assert len(brought.records("tasks")) == len(brought.records("task_followers")) == THOUSANDS
    if setting == "keep":
        assert [each["additional_fields"] for each in brought.records("tasks")] == [
            {f"new_{n}": n, f"no identifier {n}": n} for n in range(THOUSANDS)
        ]
        assert [each["additional_fields"] for each in brought.records("task_followers")] == [
            {f"new_{n}": n} for n in range(THOUSANDS)
        ]
    [export] = brought.records("exports")
    assert {key: len(names) for key, names in export["unknown_fields"].items()} == {
        "tasks": 2 * THOUSANDS,
        "task_followers": THOUSANDS,
    }
    assert export["objects"] == {"task": THOUSANDS, **{f"type_{n}": 1 for n in range(THOUSANDS)}}
    # Most of it is the log, with a line for each; a Struct made anew for each takes a minute.
    assert taken < usual * 10 + 5


def test_only_so_many_unknown_fields_are_named(
    bring: Callable[..., Brought], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TapAsanaExport, "limits", Limits(unknown_names=5))
    brought = bring(*(task(str(n), **{f"new_{n}": n}) for n in range(9)))

    assert brought.records("exports")[0]["unknown_fields"] == {"tasks": [f"new_{n}" for n in range(5)]}
    assert [message.partition(", which")[0] for message in caplog.messages if "Asana sends" in message] == [
        *(f"Stream tasks: Asana sends the field 'new_{n}'" for n in range(5)),
        "Stream tasks: Asana sends more fields",
    ]


def test_a_document_nested_deeply_takes_little_memory(bring: Callable[..., Brought]) -> None:
    document = b'{"data":[' + b'{"a":' * 40_000 + b"1" + b"}" * 40_000 + b"]}"
    tracemalloc.start()
    brought = bring(document)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert brought.error is not None
    assert "breaks at line 1: " in str(brought.error)
    assert peak < 100 << 20
