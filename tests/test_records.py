"""Records that leave as Asana wrote them are, as JSON, what the SDK's own path would have written."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_asana_export.errors import DownloadError
from tap_asana_export.output.messages import MessageWriter, RecordMessages
from tap_asana_export.records.router import RecordRouter
from tap_asana_export.records.schemas import is_passthrough
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sources import ExportRoot
from tap_asana_export.streams import ObjectStream
from tap_asana_export.tap import TapAsanaExport
from tap_asana_export.transfer import SelectedStream, build_handlers, streams_by_type
from tests.support.tap import WORKSPACE, select

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=timezone.utc)
KINDS = {"tasks": "task", "messages": "message", "teams": "team"}

ODD = [
    '{"gid":"1","resource_type":"task"}',
    '{"resource_type":"task","name":null,"assignee":null,"stories":[],"gid":"2"}',
    ' { "name" : "spaces" , "gid" : "3" ,\t"assignee":{ "name" : "Zoë" , "gid":"9"}, "resource_type" : "task" } \r',
    '{"gid":"4","resource_type":"task","assignee":{"resource_type":"user","gid":"9","name":"nested type first"}}',
    '{"assignee":{"resource_type":"message","gid":"9"},"gid":"5","resource_type":"task"}',
    '{"gid":"6","resource_type":"task","actual_time_minutes":1.10,"num_likes":123456789012345678901234567890}',
    '{"gid":"7","resource_type":"task","actual_time_minutes":-0.0,"num_hearts":1E+2}',
    r'{"gid":"8","resource_type":"task","name":"\u2028 \ud83d\ude00 \"quoted\" \\ \/ \b\f\n\r\t \u0000"}',
    '{"gid":"9","resource_type":"task","name":"\u2028 \u0085 \U0001f600 \u202e"}',
    '{"gid":"10","resource_type":"task","unknown":{"deep":[1,{"er":null}]},"to \\"know\\"":1,"class":true}',
    '{"gid":"11","resource_type":"task","unknown":2,"name":"met before"}',
    '{"gid":"12","resource_type":"task","assignee":{"gid":"9","new":{"name":1},"name":"x"},"parent":{"created_by":{"gid":"1"}}}',
    '{"gid":"13","resource_type":"task","assignee":"not an object","followers":{"not":"an array"},"completed":null}',
    '{"gid":"14","resource_type":"task","created_by":{"gid":"1"},"html_notes":"<body/>","dependencies":[{"gid":"2"}]}',
    '{"gid":"15","resource_type":"task","workspace_gid":"of no interest","custom_fields":[{"number_value":0.1}]}',
    '{"gid":"\\u0031\\u0036","resource_type":"t\\u0061sk","n\\u0061me":"an escaped key"}',
    '{"gid":"17","resource_type":"message","likes":[{"gid":"1","user":null}],"parents":[{}]}',
    '{"gid":"18","resource_type":"team","members":null,"organization":{},"endorsed":false}',
    r'{"gid":"19","resource_type":"task","likes":[1.5,1e16,1E-5,-0,-0.0,12345678901234567890123,9e-324,{"a":1,"a":2}]}',
    r'{"gid":"20","resource_type":"task","likes":["\u00e9\/\ud83d\ude00\u0041\u001f\"\\u0041","é\u007f\u2028€😀/"]}',
]  # fmt: skip

WHOLE: dict[str, Any] = {"__filter__": "int(gid) > 100"}
"""A map's filter that leaves the odd ones out."""

SELECTIONS: dict[str, dict[tuple[str, ...], bool]] = {
    "the default": {},
    "all opt-in fields": {
        (stream, "properties", name): True
        for stream, names in {
            "tasks": ("created_by", "assigned_by", "dependencies", "dependents", "external", "html_notes"),
            "teams": ("description", "html_description"),
            "messages": ("html_notes",),
        }.items()
        for name in names
    },
    "less a top-level and a nested property": {
        ("tasks", "properties", "notes"): False,
        ("tasks", "properties", "assignee", "properties", "name"): False,
        ("messages", "properties", "created_by", "properties", "gid"): False,
        ("teams", "properties", "organization", "properties", "resource_type"): False,
    },
    "less a deeply nested property": {
        ("tasks", "properties", "parent", "properties", "created_by"): True,
        ("tasks", "properties", "parent", "properties", "created_by", "properties", "gid"): False,
    },
    "less what names the object's type and workspace": {
        (stream, "properties", name): False for stream in KINDS for name in ("resource_type", "workspace_gid")
    },
    "less the arrays": {
        ("tasks", "properties", name): False for name in ("stories", "custom_fields", "followers", "likes")
    },
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Objects of a whole organization with every field, and odd ones."""
    with Sandbox(tasks=60, messages=20, teams=5, large=1, change_interval=0) as sandbox:
        return ODD + [
            json.dumps(each, ensure_ascii=bool(number % 2), separators=(",", ":"))
            for kind in KINDS.values()
            for number, each in enumerate(sandbox.organizations[WORKSPACE].objects(kind, whole=True))
        ]


def tap_with(catalog: dict[str, Any], selection: dict[tuple[str, ...], bool], **settings: Any) -> TapAsanaExport:
    return TapAsanaExport(config={"sandbox": True, **settings}, catalog=select(catalog, selection))


def pass_of(tap: TapAsanaExport, out: bytearray) -> RecordRouter:
    streams = [tap.streams[name] for name in KINDS]
    kinds = streams_by_type(
        SelectedStream(stream.source, stream) for stream in streams if isinstance(stream, ObjectStream)
    )
    sink = RecordMessages(MessageWriter(), TIME)
    sink.out = out
    return RecordRouter(build_handlers(kinds, ExportRoot(WORKSPACE), sink, dict.fromkeys(KINDS)))


def as_the_sdk_writes(tap: TapAsanaExport, line: str) -> Iterator[dict[str, Any]]:
    record = json.loads(line)
    [stream] = [tap.streams[name] for name, kind in KINDS.items() if kind == record["resource_type"]]
    record["workspace_gid"] = WORKSPACE
    for message in stream._generate_record_messages(record):  # noqa: SLF001 - what is to be equalled
        written = json.loads(MessageWriter().format_message(message))
        yield {**written, "time_extracted": "2026-03-04T05:06:07.891000Z"}


@pytest.mark.parametrize("name", SELECTIONS)
def test_records_equal_those_of_the_sdk(name: str, lines: list[str], catalog: dict[str, Any]) -> None:
    tap = tap_with(catalog, SELECTIONS[name])
    out = bytearray()
    reading = pass_of(tap, out)
    reading.read("\n".join(lines).encode())

    assert all(is_passthrough(tap.streams[name]) for name in KINDS)
    assert out.endswith(b"\n")
    written = [json.loads(line) for line in out[:-1].split(b"\n")]
    assert written == [message for line in lines for message in as_the_sdk_writes(tap, line)]
    assert (reading.lines, reading.objects.total()) == (len(lines), len(lines))


@pytest.mark.parametrize(
    "settings",
    [
        {"flattening_enabled": True, "flattening_max_depth": 2},
        {"stream_maps": {"tasks": {"loud": "gid.upper()"}, "teams": {"__alias__": "crews"}}},
        {"stream_maps": {"tasks": {"__filter__": "gid > '12'"}, "messages": None}},
        {
            "stream_maps": {
                "tasks": WHOLE | {"who": "assignee.get('gid') if assignee else None", "name": "self.upper()"}
            }
        },
        {"stream_maps": {"tasks": {"all": "json.dumps([record.get('followers'), _.get('num_likes')])"}}},
        {
            "stream_maps": {
                "tasks": WHOLE | {"number": "str([each for each in tags or []])", "gid": "gid", "__else__": None}
            }
        },
        {
            "stream_maps": {"tasks": WHOLE | {"name": "md5(name)"}},
            "flattening_enabled": True,
            "flattening_max_depth": 1,
        },
    ],
)
def test_mapped_and_flattened_records_equal_those_of_the_sdk(
    settings: dict[str, Any], lines: list[str], catalog: dict[str, Any]
) -> None:
    tap = tap_with(catalog, SELECTIONS["less a top-level and a nested property"], **settings)
    out = bytearray()
    reading = pass_of(tap, out)
    reading.read("\n".join(lines).encode())

    written = [json.loads(line) for line in out.split(b"\n") if line]
    # A tap of its own, since the one that has read lines flattens in its own way.
    other = tap_with(catalog, SELECTIONS["less a top-level and a nested property"], **settings)
    of_the_sdk = [message for line in lines for message in as_the_sdk_writes(other, line)]
    if "flattening_enabled" in settings:
        assert any(fitted(tap, message) != message for message in of_the_sdk)
        of_the_sdk = [fitted(tap, message) for message in of_the_sdk]
    assert written == of_the_sdk


def fitted(tap: TapAsanaExport, message: dict[str, Any]) -> dict[str, Any]:
    """A message of the SDK's with the properties of its flattened SCHEMA only, null where an object was null."""
    properties = tap.streams[message["stream"]].stream_maps[0].transformed_schema["properties"]
    record = {name: value for name, value in message["record"].items() if name in properties}
    nulls = [f"{name}__" for name, value in message["record"].items() if value is None and name not in properties]
    below = [name for name in properties if name.startswith(tuple(nulls))]
    return {**message, "record": {**record, **dict.fromkeys(below)}}


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (
            r'{"gid":"1","resource_type":"task","name":"\u00e9é\/","actual_time_minutes":1.10,"num_likes":1E2}',
            r'{"gid":"1","resource_type":"task","name":"\u00e9é\/","actual_time_minutes":1.10,"num_likes":1E2',
        ),
        (
            r'{"odd":1,"gid":"1","resource_type":"task","name":"\u00e9é\/",'
            r'"actual_time_minutes":1.10,"num_likes":1E2}  ',
            r'{"resource_type":"task","gid":"1","name":"\u00e9é\/","num_likes":1E2,"actual_time_minutes":1.10',
        ),
    ],
    ids=["whole", "without a property"],
)
def test_a_text_of_numbers_and_strings_is_kept_to_the_letter(line: str, record: str, catalog: dict[str, Any]) -> None:
    out = bytearray()
    pass_of(tap_with(catalog, {}), out).read(line.encode())

    assert out.decode() == (
        f'{{"type":"RECORD","stream":"tasks","record":{record},"workspace_gid":"{WORKSPACE}"}},'
        '"time_extracted":"2026-03-04T05:06:07.891000Z"}\n'
    )


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"1",
        b'{"gid":"1"}',
        b'{"gid":"1","resource_type":null}',
        b'{"gid":"1","resource_type":["task"]}',
        b'{"resource_type":"task"}',
        b'{"gid":null,"resource_type":"task"}',
        b'{"gid":1,"resource_type":"task"}',
        b'{"gid":"1","resource_type":"task"',
        b'{"gid":"1","resource_type":"task"}}',
        b'{"gid":"1","resource_type":"task","name":"\xff"}',
        b'{"gid":"1","resource_type":"task","name":"a\x00b"}',
        b'{"gid":"1","resource_type":"task","unknown":1,"name":}',
        b'{"gid":null,"resource_type":"task","unknown":1}',
    ],
)
def test_a_line_that_is_no_object_of_asanas_is_refused_after_the_ones_before_it(
    line: bytes, catalog: dict[str, Any]
) -> None:
    good = b'{"gid":"1","resource_type":"team"}'
    out = bytearray()
    reading = pass_of(tap_with(catalog, {}), out)
    with pytest.raises(DownloadError):
        reading.read(b"\n".join([good, b"", b" \r", good, line, good]))

    assert reading.lines == 4
    assert [json.loads(each)["record"]["gid"] for each in out.split(b"\n") if each] == ["1", "1"]


def test_types_that_no_stream_takes_are_counted(catalog: dict[str, Any]) -> None:
    out = bytearray()
    reading = pass_of(tap_with(catalog, {}), out)
    lines = [b'{"gid":"1","resource_type":"sprocket","x":1}', b'{"resource_type":"sprocket"}']
    reading.read(b"\n".join([*lines, b'{"gid":"1","resource_type":""}', b'{"gid":"1","resource_type":"another"}']))

    assert (bytes(out), reading.lines) == (b"", 4)
    assert dict(reading.objects) == {"sprocket": 2, "": 1, "another": 1}
