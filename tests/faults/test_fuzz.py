"""Any bytes as export file: every object comes out once and in order, or the first line that is none is named."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
import zlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given
from hypothesis import strategies as st

from tap_asana_export.errors import DownloadError
from tap_asana_export.limits import USUAL, Limits
from tap_asana_export.output.messages import MessageWriter, RecordMessages
from tap_asana_export.records import reader as text_module
from tap_asana_export.records.router import RecordRouter
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sources import SOURCES, ExportRoot
from tap_asana_export.tap import TapAsanaExport
from tap_asana_export.transfer import SelectedStream, build_handlers
from tests.support.examples import examples
from tests.support.export_text import text_of
from tests.support.tap import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream

OBJECT_SOURCES = {source.resource_types[0]: source for source in SOURCES if source.by_default}
TIME = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=timezone.utc)

EXAMPLES = examples(short=30, everything=200, long=20_000, unchecked=[HealthCheck.too_slow])

# ── what the file should bring ────────────────────────────────────────────────────────────────────────────


class Outcome(NamedTuple):
    """Records, and the number of the first line that is no object of Asana's, if there is one."""

    records: list[dict[str, Any]]
    bad: int | None


@pytest.fixture(scope="module")
def streams() -> Iterator[dict[str, Stream]]:
    """The streams by their objects' resource_type, with every field selected."""
    catalog = TapAsanaExport(config={"sandbox": True}).catalog_dict
    for stream in catalog["streams"]:
        for each in stream["metadata"]:
            each["metadata"]["selected"] = True
    tap = TapAsanaExport(config={"sandbox": True}, catalog=catalog)
    # Every example would warn of the same unknown fields anew.
    logging.disable()
    yield {kind: tap.streams[source.stream] for kind, source in OBJECT_SOURCES.items()}
    logging.disable(logging.NOTSET)


def refuse(constant: str) -> NoReturn:
    """Python's json takes NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


def whole(value: Any) -> Any:
    """The value with U+FFFD in place of halves of characters."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole(name): whole(inner) for name, inner in value.items()}
    return [whole(each) for each in value] if isinstance(value, list) else value


def told_by(text: bytes, streams: dict[str, Stream]) -> Outcome:
    """What a text should bring, decoded the plain way: one line after the other."""
    wanted: list[dict[str, Any]] = []
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n") if text else [], 1):
        if not line.strip():
            continue
        try:
            item = whole(json.loads(line.decode(), parse_constant=refuse))
            stream = streams.get(msgspec.convert(item["resource_type"], str))
            if stream is not None:
                msgspec.convert(item["gid"], str)
        except (ValueError, KeyError, TypeError):
            return Outcome(wanted, number)
        if stream is not None:
            known = {name: value for name, value in item.items() if name in stream.schema["properties"]}
            wanted.append({**known, "workspace_gid": WORKSPACE})
    return Outcome(wanted, None)


def brought_piecemeal(streams: dict[str, Stream], *blocks: bytes) -> Outcome:
    """What the tap makes of a file when it decompresses and looks at little of the text at a time."""
    return brought(streams, *blocks, limits=Limits(text=300, utf8_slice=7))


def brought(streams: dict[str, Stream], *blocks: bytes, limits: Limits = USUAL) -> Outcome:
    """What the tap makes of a file that comes in blocks."""
    sink = RecordMessages(MessageWriter(), TIME)
    kinds = {kind: [SelectedStream(OBJECT_SOURCES[kind], stream)] for kind, stream in streams.items()}
    versions = dict.fromkeys(source.stream for source in OBJECT_SOURCES.values())
    reading = RecordRouter(build_handlers(kinds, ExportRoot(WORKSPACE), sink, versions), limits=limits)
    bad = None
    try:
        for text in text_of(*blocks, limits=limits):
            reading.read(text)
    except DownloadError:
        bad = reading.lines + 1
    assert sink.out == b"" or sink.out.endswith(b"\n")
    return Outcome([json.loads(line)["record"] for line in sink.out.split(b"\n") if line], bad)


# ── what can be in a file ─────────────────────────────────────────────────────────────────────────────────


def sandbox_lines() -> list[bytes]:
    """Three objects of each type, those with the shortest lines."""
    with Sandbox(tasks=20, messages=10, teams=5, large=0, change_interval=0) as sandbox:
        return [
            line
            for kind in ("task", "message", "team")
            for line in sorted(
                (
                    json.dumps(each, ensure_ascii=bool(number % 2)).encode()
                    for number, each in enumerate(sandbox.organizations[WORKSPACE].objects(kind, whole=True))
                ),
                key=len,
            )[:3]
        ]


GOOD = [
    *sandbox_lines(),
    b'{"gid":"1","resource_type":"task"}',
    b'{"resource_type":"team","name":null,"gid":"2"}',
    ' {"gid":"3", "resource_type":"task",\t"name":"\u2028\u2029\x85\U0001f600 \\u2028 \\n"} \r'.encode(),
    b'{"gid":"4","resource_type":"task","unknown":{"deep":[1,{"er":null}]},"name":"x"}',
    b'{"gid":"5","resource_type":"sprocket","name":"of a type that no stream takes"}',
    b'{"resource_type":"sprocket"}',
    b'{"gid":"7","resource_type":"task","name":"\\ud83d \\ud83d\\ude00 \\\\ud83d \\uDC00","new \\ud83d":["\\udfff"]}',
    b'{"gid":"6","resource_type":"message","num_likes":123456789012345678901234567890,"n\\u0061me":"y"}',
]
BAD = [
    b"nonsense",
    b"[]",
    b"null",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b'{"gid":"1"}',
    b'{"resource_type":"task"}',
    b'{"gid":1,"resource_type":"task"}',
    b'{"gid":"1","resource_type":null}',
    b'{"gid":"1","resource_type":"task","name":"\xff"}',
    b'{"gid":"1","resource_type":"task","name":"\xed\xa0\x80"}',
    b'{"gid":"1","resource_type":"task","name":"a',
    b'{"gid":"1","resource_type":"task","name":"a"}}',
    b'{"gid":"1","resource_type":"task","name":"\\q"}',
    b'{"gid":"1","resource_type":"task","name":"\\ud80"}',
    b'{"gid":"1","resource_type":"task","num_likes":01}',
    b'{"gid":"1","resource_type":"task","num_likes":NaN}',
    b'{"gid":"1","resource_type":"task"} {"gid":"2","resource_type":"task"}',
]
BLANK = [b"", b" ", b"\r", b"\t\r", b"\x0c"]

any_line = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(GOOD).map(lambda line: line + b"\r"),
    st.sampled_from(BLANK),
    st.sampled_from(BAD),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
)
good_line = st.one_of(
    st.sampled_from(GOOD), st.sampled_from(GOOD).map(lambda line: line + b"\r"), st.sampled_from(BLANK)
)


@st.composite
def texts(draw: st.DrawFn, lines: st.SearchStrategy[bytes] = any_line) -> bytes:
    return b"\n".join(draw(st.lists(lines, max_size=12))) + draw(st.sampled_from([b"", b"\n"]))


@st.composite
def mutated_texts(draw: st.DrawFn) -> bytes:
    """Lines of which one has some bytes replaced."""
    lines = draw(st.lists(st.sampled_from(GOOD[-7:]), min_size=1, max_size=5))
    victim = draw(st.integers(0, len(lines) - 1))
    line = lines[victim]
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 4)))
    new = draw(
        st.one_of(st.binary(max_size=3), st.text('"\\{}[],:0159eE-+.truefalsn \ud7ffé', max_size=3).map(str.encode))
    )
    lines[victim] = line[:start] + new.replace(b"\n", b"") + line[end:]
    return b"\n".join(lines)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places (taken modulo its length), less pieces of nothing."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=6)


@st.composite
def packed(draw: st.DrawFn, text: bytes) -> bytes:
    """The text as it is, or as gzip of any number of members, empty ones among them, and with zeros behind."""
    if draw(st.booleans()):
        return text
    members = [gzip.compress(piece, draw(st.integers(0, 9)), mtime=0) for piece in pieces(text, draw(cuts)) or [b""]]
    if draw(st.booleans()):
        members.insert(draw(st.integers(0, len(members))), gzip.compress(b"", mtime=0))
    return b"".join(members) + bytes(draw(st.sampled_from([0, 0, 1, 511])))


# ── whole files ───────────────────────────────────────────────────────────────────────────────────────────


@EXAMPLES
@given(st.data())
def test_every_object_of_a_whole_file_comes_out_once_and_in_order(
    streams: dict[str, Stream], data: st.DataObject
) -> None:
    text = data.draw(texts(good_line))
    file = data.draw(packed(text))
    expected = told_by(text, streams)

    assert expected.bad is None
    assert brought_piecemeal(streams, *pieces(file, data.draw(cuts))) == expected


@EXAMPLES
@given(st.data())
def test_the_first_bad_line_is_named_and_all_before_it_come_out(
    streams: dict[str, Stream], data: st.DataObject
) -> None:
    text = data.draw(texts())
    file = data.draw(packed(text))
    check(streams, file, data.draw(cuts))


@EXAMPLES
@given(mutated_texts())
@example(b'{"gid":"1","resource_type":"task","name":"\\ud800"}')
@example(b'{"gid":"1","resource_type":"task","name":1e999}')
@example(b'{"gid":"1","resource_type":"task","unknown":"\\q"}')
@example(b'{"gid":"1","resource_type":"sprocket","unknown":"\\q"}')
def test_a_line_with_a_few_bytes_changed_is_an_object_or_a_bad_line(streams: dict[str, Stream], text: bytes) -> None:
    check(streams, gzip.compress(text, 1), [])


def check(streams: dict[str, Stream], file: bytes, cuts: list[int]) -> None:
    """A file's outcome is that of its text; one that looks like a JSON document is a matter of tests/test_text.py."""
    text = gzip.decompress(file) if file.startswith(b"\x1f\x8b") else file
    assume(not text_module.is_document(text))
    outcome, expected = brought_piecemeal(streams, *pieces(file, cuts)), told_by(text, streams)
    if outcome == Outcome([], 1) and file.strip() and not file.lstrip().startswith(b"{"):
        # What is neither gzip nor JSON is refused before its lines are looked at.
        assert expected.bad is not None
    else:
        assert outcome == expected


# ── one object, three ways ────────────────────────────────────────────────────────────────────────────────

WAYS: dict[str, dict[str, Any]] = {
    "verbatim": {},
    "mapped": {"stream_maps": {name: {"__filter__": "True"} for name in ("tasks", "task_followers")}},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 2},
}
SCALARS = st.one_of(
    st.sampled_from(["null", "true", "false", "0", "-0", "1.10", "1E2", "1e400", "-1e-400", "12345678901234567890123"]),
    st.text(max_size=4).map(json.dumps),
    st.sampled_from(['"cut \\ud83d"', '"\\ud83d\\ude00"', '"\\\\ud83d"', '"\\udc00\\ud83d"', '"{[\\"]}"']),
)
NAMES = ["gid", "name", "user", "new", "über", "a b", "class", 'q"', "\ud83d", "additional_fields", "parent", ""]


def an_object(values: st.SearchStrategy[str], names: list[str] = NAMES) -> st.SearchStrategy[str]:
    """JSON of objects with these values."""
    pairs = st.dictionaries(st.sampled_from(names), values, max_size=4)
    return pairs.map(lambda each: "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in each.items()) + "}")


def an_array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON of arrays of these values."""
    return st.lists(values, max_size=3).map(lambda each: f"[{', '.join(each)}]")


ANYTHING = st.recursive(SCALARS, lambda inner: an_object(inner) | an_array(inner), max_leaves=6)
FOLLOWER = an_object(ANYTHING).map(lambda text: text.replace("{", '{"gid":"8",', 1).replace(",}", "}"))
TASK = st.fixed_dictionaries(
    {},
    optional={
        "followers": an_array(FOLLOWER | ANYTHING) | ANYTHING,
        **dict.fromkeys(["name", "assignee", "num_likes", "parent", "custom_fields", "memberships"], ANYTHING),
        **dict.fromkeys(["new", "a b", "class", "\ud83d", "additional_fields", "workspace_gid"], ANYTHING),
    },
)


@pytest.fixture(scope="module")
def ways() -> Iterator[dict[str, dict[str, Stream]]]:
    """Tasks and their followers by way, with whatever their schemas do not know."""
    found = {}
    for name, config in WAYS.items():
        catalog = TapAsanaExport(config={"sandbox": True}).catalog_dict
        for stream in catalog["streams"]:
            for each in stream["metadata"]:
                each["metadata"]["selected"] = stream["tap_stream_id"] in {"tasks", "task_followers"}
        tap = TapAsanaExport(config={"sandbox": True, "unknown_fields": "keep", **config}, catalog=catalog)
        found[name] = {stream: tap.streams[stream] for stream in ("tasks", "task_followers")}
    logging.disable()
    yield found
    logging.disable(logging.NOTSET)


def rows(streams: dict[str, Stream], line: bytes) -> dict[str, list[dict[str, Any]]]:
    """The records that one line makes."""
    sink = RecordMessages(MessageWriter(), TIME)
    selected = [SelectedStream(source, streams[source.stream]) for source in SOURCES if source.stream in streams]
    RecordRouter(build_handlers({"task": selected}, ExportRoot(WORKSPACE), sink, dict.fromkeys(streams))).read(line)
    found: dict[str, list[dict[str, Any]]] = {stream: [] for stream in streams}
    for message in map(json.loads, sink.out.split(b"\n")[:-1]):
        found[message["stream"]].append(message["record"])
    return found


def kept(value: dict[str, Any], stream: Stream, own: dict[str, Any]) -> dict[str, Any]:
    """An object as a record, in which nothing is lost."""
    known = {*stream.schema["properties"]} - {"additional_fields"}
    more = {name: each for name, each in value.items() if name not in known}
    record = {name: each for name, each in value.items() if name in known and name not in own} | own
    return record | ({"additional_fields": more} if more else {})


@EXAMPLES
@given(TASK)
def test_an_object_loses_nothing_whatever_way_it_goes(
    ways: dict[str, dict[str, Stream]], properties: dict[str, str]
) -> None:
    pairs = {"gid": '"1"', "resource_type": '"task"', **properties}
    line = ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in pairs.items()) + "}").encode()
    item = whole(json.loads(line))
    brought = {way: rows(streams, line) for way, streams in ways.items()}

    tasks, followers = ways["verbatim"]["tasks"], ways["verbatim"]["task_followers"]
    parts = item.get("followers")
    good = (
        [each for each in parts if isinstance(each, dict) and isinstance(each.get("gid"), str)]
        if (isinstance(parts, list))
        else []
    )
    own = {"task_gid": "1", "task_modified_at": None, "workspace_gid": WORKSPACE}
    wanted = {
        "tasks": [kept(item, tasks, {"workspace_gid": WORKSPACE})],
        "task_followers": [kept(each, followers, own) for each in good],
    }
    assert brought["verbatim"] == wanted
    assert brought["mapped"] == wanted
    for stream, records in brought["flattened"].items():
        columns = ways["flattened"][stream].stream_maps[0].transformed_schema["properties"].keys()
        assert [each["gid"] for each in records] == [each["gid"] for each in wanted[stream]]
        assert all(record.keys() <= columns for record in records)


# ── broken files ──────────────────────────────────────────────────────────────────────────────────────────


def gunzipped(file: bytes) -> bytes | None:
    """The text of a file, None if it is damaged."""
    if not file.startswith(b"\x1f\x8b"):
        return file
    try:
        return gzip.decompress(file)
    except (OSError, EOFError, zlib.error):
        return None


@EXAMPLES
@given(st.data())
def test_a_file_cut_anywhere_brings_the_first_objects_and_an_error(
    streams: dict[str, Stream], data: st.DataObject
) -> None:
    text = data.draw(texts(good_line))
    file = data.draw(packed(text))
    cut = file[: data.draw(st.integers(0, len(file)))]
    outcome = brought_piecemeal(streams, *pieces(cut, data.draw(cuts)))

    if (left := gunzipped(cut)) is None:
        assert outcome.bad is not None
        assert outcome.records == told_by(text, streams).records[: len(outcome.records)]
    else:
        check(streams, cut, [])
        assert outcome == brought_piecemeal(streams, cut)
        assert outcome.bad is not None or text.startswith(left)


@EXAMPLES
@given(st.data())
def test_a_damaged_file_brings_an_error(streams: dict[str, Stream], data: st.DataObject) -> None:
    text = data.draw(texts(good_line))
    file = bytearray(gzip.compress(text, data.draw(st.sampled_from([0, 1, 6])), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(10, len(file) - 1))] = data.draw(st.integers(0, 255))
    outcome = brought_piecemeal(streams, *pieces(bytes(file), data.draw(cuts)))

    if (left := gunzipped(bytes(file))) is None:
        assert outcome.bad is not None
    else:
        assert (left, outcome) == (text, told_by(text, streams))


@EXAMPLES
@given(st.binary(max_size=200), cuts)
@example(b"\x1f", [])
@example(b"\x1f\x8b", [1])
@example(b"\n" * 200, [100])
@example(b"{", [])
def test_any_bytes_at_all(streams: dict[str, Stream], file: bytes, cuts: list[int]) -> None:
    if gunzipped(file) is None:
        assert brought_piecemeal(streams, *pieces(file, cuts)).bad is not None
    else:
        check(streams, file, cuts)


# ── long lines ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak
@pytest.mark.parametrize("megabytes", [0, 1, 3, 40])
def test_a_line_of_any_length_comes_out(megabytes: int, streams: dict[str, Stream]) -> None:
    notes = os.urandom(1 << 19).hex() * megabytes
    before, after = b'{"gid":"1","resource_type":"task"}', b'{"gid":"3","resource_type":"team"}'
    line = b'{"gid":"2","resource_type":"task","notes":"%b"}' % notes.encode()
    file = gzip.compress(b"\n".join([before, line, after]), 1)
    found, bad = brought(streams, *(file[at : at + (1 << 18)] for at in range(0, len(file), 1 << 18)))

    assert ([record["gid"] for record in found], bad) == (["1", "2", "3"], None)
    assert found[1]["notes"] == notes


@pytest.mark.parametrize("megabytes", [1, 40])
def test_a_long_line_cut_off_is_the_bad_one(megabytes: int, streams: dict[str, Stream]) -> None:
    line = b'{"gid":"2","resource_type":"task","notes":"' + b"x" * (megabytes << 20)
    file = gzip.compress(b'{"gid":"1","resource_type":"task"}\n' + line, 1)
    found, bad = brought(streams, *(file[at : at + 999] for at in range(0, len(file), 999)))

    assert ([record["gid"] for record in found], bad) == (["1"], 2)


def test_a_line_that_is_nested_too_deeply_is_a_bad_one(streams: dict[str, Stream]) -> None:
    good = b'{"gid":"1","resource_type":"task"}\n'
    file = good + b'{"gid":"2","resource_type":"task","name":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + good

    assert brought(streams, file).bad == 2
