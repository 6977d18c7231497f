"""From bytes to lines of objects, whatever the form of the file and wherever the network cuts it."""

from __future__ import annotations

import gzip
import json
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_asana_export.errors import DamagedError, DownloadError, TapError, UnreachableError
from tap_asana_export.limits import USUAL, Limits
from tap_asana_export.records.reader import blocks, one_object_a_line
from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OBJECTS = [
    {"gid": "1", "resource_type": "task", "name": 'a "quoted]" {[\\ \u2028\u2029 \U0001f469\u200d\U0001f680 \0\n'},
    {"resource_type": "section", "gid": "2", "nested": {"gid": "3", "data": [{"gid": "4"}, [], {}]}},
    {"gid": "5", "numbers": [0, -1, Decimal("1.10"), Decimal("-0.0"), Decimal("1E+2"), 10**30, -(2**63) - 1]},
]


encode = msgspec.json.Encoder(decimal_format="number").encode


def dumps(value: Any) -> str:
    return encode(value).decode()


def ascii_only(text: str) -> str:
    return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text)


def pretty(content: Any) -> str:
    """JSON with a line for each property, and with blank ones around."""
    return f"\n \n{msgspec.json.format(dumps(content), indent=2)}\n\n"


FORMS: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda objects: "".join(f"{dumps(each)}\n" for each in objects),
    "lines, the last one not ended": lambda objects: "\n".join(map(dumps, objects)),
    "lines, an empty one first": lambda objects: "\n" + "\n".join(map(dumps, objects)),
    "lines in ASCII": lambda objects: "".join(f"{ascii_only(dumps(each))}\n" for each in objects),
    "array": dumps,
    "array of lines": lambda objects: "[" + "\n,".join(map(dumps, objects)) + "\n]\n",
    "array, pretty": pretty,
    "object": lambda objects: dumps({"data": objects}),
    "object, pretty": lambda objects: pretty({"data": objects}),
    "object with more before and after": lambda objects: dumps(
        {"n": 1, "errors": [], "meta": {"gid": "0", "pages": [{"gid": "9"}]}, "data": objects, "last": ["x", [{}]]}
    ),
    "object with more, pretty": lambda objects: pretty({"errors": [], "at": "x", "data": objects, "next_page": None}),
}
"""By name, how a file may hold objects."""


def read(pieces: Iterable[bytes], limits: Limits = USUAL) -> list[Any]:
    """The objects that the text comes to, its numbers with all digits, whichever thread decompresses it."""
    pieces = [*pieces]
    lines = b"\n".join(blocks(pieces, threading.Event(), limits))
    assert b"\n".join(blocks(pieces, threading.Event(), limits, inflate_ahead=True)) == lines
    return loads(lines)


def loads(lines: bytes) -> list[Any]:
    return [json.loads(line, parse_float=Decimal) for line in lines.split(b"\n") if line.strip()]


def split(whole: bytes, size: int) -> list[bytes]:
    return [whole[begin : begin + size] for begin in range(0, len(whole), size)]


def digits(value: Any) -> str:
    """Numbers with their digits and signs, which equality overlooks."""
    return repr(value)


@pytest.mark.parametrize("form", FORMS)
def test_objects_come_as_they_are_wherever_the_text_is_cut(form: str) -> None:
    whole = FORMS[form](OBJECTS).encode()

    assert digits(loads(b"".join(one_object_a_line([whole])))) == digits(OBJECTS)
    for cut in range(len(whole) + 1):
        assert digits(loads(b"".join(one_object_a_line([whole[:cut], whole[cut:]])))) == digits(OBJECTS), cut
    assert digits(loads(b"".join(one_object_a_line(split(whole, 1))))) == digits(OBJECTS)


@pytest.mark.parametrize("form", FORMS)
def test_objects_come_as_they_are_wherever_the_compressed_file_is_cut(form: str) -> None:
    whole = FORMS[form](OBJECTS).encode()
    for file in (whole, gzip.compress(whole), gzip.compress(whole[:40]) + gzip.compress(whole[40:])):
        for size in (1, 7, len(file)):
            assert digits(read(split(file, size))) == digits(OBJECTS)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_without_objects_has_none(form: str) -> None:
    whole = FORMS[form]([]).encode()

    assert [read(split(gzip.compress(whole), size)) for size in (1, 100)] == [[], []]


DOCUMENTS = [form for form in FORMS if "lines" not in form or "array" in form]


@pytest.mark.soak
@pytest.mark.parametrize("form", DOCUMENTS)
@pytest.mark.parametrize("size", [1 << 20, 1])
def test_a_document_that_ends_too_early_is_an_error_that_may_pass(form: str, size: int) -> None:
    whole = FORMS[form](OBJECTS).strip().encode()
    # Before its first array has begun it may as well be a torn line.
    for end in range(whole.index(b"[") + 1, len(whole)):
        with pytest.raises(DownloadError, match=r"the JSON document ends too early \([^\n]*\)\. Run again\.$") as error:
            read(split(whole[:end], size))
        assert type(error.value) is DownloadError, end


DAMAGES = {
    "a missing comma": b'[{"gid":"1"}{"gid":"2"}]',
    "a missing quote": b'[{"gid:"1"},{"gid":"2"}]',
    "another bracket": b'{"data":[{"gid":"1"}}}',
    "a torn word": b'[{"gid":nul1}]',
    "a control character": b'[{"gid":"\x01"}]',
    "something behind it": b'[{"gid":"1"}]\n{"gid":"2"}',
    "errors beside objects": b'{"data":[{"gid":"1"}],"errors":[{"message":"half of it is missing"}]}',
    "an object that is null": b'{"data":[{"gid":"1"},null]}',
    "a name that is no text": b'{"tasks":[],1:[{"gid":"1"}]}',
    "a comma too many": b'[{"gid":"1"},]',
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_damaged_document_is_an_error_of_one_line(damage: str, size: int) -> None:
    with pytest.raises(
        DamagedError, match=r"^The export file could not be read: the JSON document is damaged"
    ) as error:
        read(split(DAMAGES[damage], size))

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("around", [b'[{"gid":%b}]', b'{"meta":%b,"data":[]}'])
def test_a_document_nested_beyond_what_python_reads_is_an_error_of_one_line(around: bytes) -> None:
    depth = 300_000  # Python 3.13 still reads 5,000, but none reads this

    for size in (99_991, 1 << 20):
        with pytest.raises(DamagedError) as error:
            read(split(around % (b"[" * depth + b"]" * depth), size))
        assert error.value.cause == (
            "the JSON document is damaged (it is nested too deeply; behind its first 0 objects)"
        )


def test_every_array_of_objects_of_a_document_is_read() -> None:
    whole = pretty({"projects": OBJECTS[:1], "n": 1, "errors": [], "tasks": OBJECTS[1:], "sections": [], "at": ["x"]})

    for size in (1, 7, len(whole)):
        assert digits(read(split(whole.encode(), size))) == digits(OBJECTS)


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ('{"errors":[]}', "errors"),
        ('{"data":null}', "data"),
        ('{"errors":[],"data":{"tasks":[{"gid":"1"}]}}', "errors, data"),
        ('{"data":["1","2"]}', "data"),
        ("{}", "nothing"),
    ],
)
def test_a_document_without_an_array_of_objects_is_an_error(document: str, names: str) -> None:
    for whole in (document.encode(), pretty(json.loads(document)).encode()):
        with pytest.raises(DamagedError) as error:
            read([whole])
        assert error.value.cause == f"the JSON document holds no array of objects, only {names}"


def test_texts_and_numbers_of_a_document_come_to_the_letter() -> None:
    first, second = rb'{"gid":"1","a":1E2,"b":-0,"c":"\u00e9\ud800\/"}', b'{ "gid":"2","n":' + b"9" * 5000 + b"}"
    far = b'{"gid":"3","n":1E99999999999999999999999,"z":"\xc3\xa9"}'

    for size in (1, 7, 1 << 20):
        lines = b"\n".join(blocks(split(b"[%b ,\n%b,%b]" % (first, second, far), size), threading.Event()))
        assert lines == b"\n".join([first, second, far])


def test_what_came_before_the_damage_comes_first() -> None:
    lines = blocks([b'[{"gid":"1"},{"gid":"2"},{"gid":3 "4"}]'], threading.Event())

    assert next(lines) == b'{"gid":"1"}\n{"gid":"2"}'
    with pytest.raises(DamagedError, match=r"Expecting .,. delimiter; behind its first 2 objects"):
        next(lines)


@pytest.mark.parametrize(
    ("whole", "cause"),
    [
        (b'{"gid":"1"}\n{"gid":"%b"}\n' % (b"x" * 5_000_000), "it is longer than 3 MB"),
        (b'{"gid":"1"}\n{"gid":"%b' % (b"x" * 5_000_000), "it is longer than 3 MB"),
        (
            b'[{"gid":"1"},{"gid":"%b"}]' % (b"x" * 5_000_000),
            "the JSON document is damaged (an object is longer than 3 MB; behind its first 1 objects)",
        ),
    ],
)
def test_a_line_that_is_too_long_is_an_error_and_is_not_kept(whole: bytes, cause: str) -> None:
    asked = []

    def body() -> Iterator[bytes]:
        for piece in split(whole, 1 << 18):
            asked.append(len(piece))
            yield piece
        pytest.fail("it was read to its end")

    lines = blocks(body(), threading.Event(), Limits(line=3 << 20))
    with pytest.raises(DamagedError) as error:
        list(lines)

    assert error.value.cause == cause
    assert sum(asked) < 5_000_000


def test_a_line_of_the_greatest_length_comes_through() -> None:
    line = b'{"gid":"%b"}' % (b"x" * ((3 << 20) - 10))
    assert len(line) == 3 << 20

    for whole in (line, line + b"\n", b'{"gid":"1"}\n' + line, b"[" + line + b"]"):
        lines = b"\n".join(blocks(split(whole, 1 << 18), threading.Event(), Limits(line=3 << 20)))
        assert lines.split(b"\n")[-1] == line


def test_a_first_line_may_begin_with_an_array() -> None:
    lines = [{"stories": [{"gid": "9"}], "gid": "1", "resource_type": "task"}, {"gid": "2", "resource_type": "task"}]
    whole = FORMS["lines"](lines).encode()

    for size in (1, 10, len(whole)):
        assert read(split(whole, size)) == lines
    assert read([FORMS["lines"](lines[:1]).encode()]) == lines[:1]


def test_a_first_line_may_begin_with_an_array_and_be_longer_than_what_is_read_at_a_time() -> None:
    lines = [{"tags": [{"gid": "9"}], "gid": "1", "notes": "x" * 1000}, {"gid": "2"}]

    for size in (7, 1 << 20):
        assert read(split(FORMS["lines"](lines).encode(), size), Limits(text=100)) == lines


def test_an_object_that_was_taken_for_a_document_is_an_error() -> None:
    line = FORMS["lines"]([{"stories": [{"gid": "9"}], "notes": "x" * 1000, "gid": "1", "resource_type": "task"}])

    with pytest.raises(DamagedError, match="it has a gid, as an object has"):
        read(split(line.encode(), 7), Limits(text=100))


@pytest.mark.parametrize("text", [20, 1000])
@pytest.mark.parametrize("inflate_ahead", [False, True])
@pytest.mark.parametrize("error", [DownloadError("the network broke"), UnreachableError("GET x", "no answer")])
@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([b'{"gid":"1","name":"\\ud83d"}\n{"gid":"2"}\n{"gi'], ["1", "2"]),
        ([b'[{"gid":"1"},{"gid":"2"},{"gi'], ["1", "2"]),
        ([b'[{"gid":"1"},{"gid":"2","notes":"xxxxx', b'x"},', b'{"gid":"3"},'], ["1", "2", "3"]),
    ],
)
def test_what_came_before_an_error_comes_first(
    pieces: list[bytes], whole: list[str], error: TapError, text: int, *, inflate_ahead: bool
) -> None:
    def body() -> Iterator[bytes]:
        yield from pieces
        raise error

    found: list[bytes] = []
    with pytest.raises(type(error)):
        found.extend(blocks(body(), threading.Event(), Limits(text=text), inflate_ahead=inflate_ahead))
    assert [each["gid"] for each in loads(b"\n".join(found))] == whole


@pytest.mark.parametrize("form", FORMS)
def test_an_object_may_be_longer_than_what_is_read_at_a_time(form: str) -> None:
    long = [{"gid": "1", "resource_type": "task", "notes": "x" * 1000}, *OBJECTS]

    for size in (7, 1 << 20):
        assert digits(read(split(FORMS[form](long).encode(), size), Limits(text=100, document_text=10))) == digits(long)


def test_lines_come_to_the_byte_as_they_are_but_for_what_a_target_may_take_for_their_end() -> None:
    whole = b'\r{"gid": "1",  "a":1E2, "b":"\\u00e9\\ud800",\r "a":-0}\n{"gid":"2"}\r\n\n'

    lines = b"\n".join(blocks(split(whole, 5), threading.Event()))
    assert lines == whole.removesuffix(b"\n").replace(b"\r", b" ")
    pretty_with_returns = FORMS["array, pretty"](OBJECTS).replace("\n", "\r\n").encode()
    assert b"\r" not in b"".join(blocks([pretty_with_returns], threading.Event()))


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf[]", b"<html>", b"null"])
def test_what_begins_otherwise_is_neither_gzip_nor_json(begin: bytes) -> None:
    with pytest.raises(DownloadError) as error:
        read([begin])

    assert error.value.cause == f"it is neither gzip nor JSON but begins with {begin!r}"


NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal(digits) for digits in ("1E+2", "-0.0", "1.10", "1E-400", "1E+400", "0.1", "0E+7")]),
)
STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")) | st.sampled_from(
    ['"', '\\"', "[", "]}", "\u2028", "\u2029", "\\", "\\u2028", "\r\n", "\x7f", "gid", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=12,
)
ANY_OBJECTS = st.lists(
    st.builds(lambda gid, rest: {"gid": gid, **rest}, STRINGS, st.dictionaries(STRINGS, VALUES, max_size=5)),
    max_size=5,
)


def exact(value: Any) -> Any:
    """A number with a fraction as sign, digits and exponent; others by themselves."""
    if isinstance(value, Decimal):
        return value.as_tuple()
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    return [exact(each) for each in value] if isinstance(value, list) else (type(value), value)


@examples(short=40, everything=150, long=5_000)
@given(objects=ANY_OBJECTS, form=st.sampled_from(sorted(FORMS)), size=st.integers(min_value=1, max_value=400))
def test_any_objects_come_through_with_the_exact_value_of_every_number(
    objects: list[Any], form: str, size: int
) -> None:
    whole = FORMS[form](objects)
    assert exact(read(split(whole.encode(), size))) == exact(json_values(objects))


def json_values(objects: list[Any]) -> Any:
    """The objects as JSON has them: a Decimal without a fraction is written as an integer."""
    return json.loads(dumps(objects), parse_float=Decimal)
