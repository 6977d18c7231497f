"""The export file: read right however it is packed, and never taken for whole when it is not."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from tap_asana_export import deflate
from tap_asana_export.errors import DownloadError, OtherFileError
from tap_asana_export.records.reader import read_text
from tests.support.export_text import text_of
from tests.support.organizations import expected
from tests.support.tap import TAP, WORKSPACE, Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_asana_export.sandbox import Sandbox

TEXT = b'{"gid":"1","name":"a\xe2\x80\xa8b\xc2\x85c"}\r\n{"gid":"2"}\n\n{"gid":"3"}'


BODIES = {
    "plain": [TEXT],
    "one member": [gzip.compress(TEXT)],
    "byte by byte": [bytes([byte]) for byte in gzip.compress(TEXT)],
    "plain byte by byte": [bytes([byte]) for byte in TEXT],
    "members that end within lines": [b"".join(gzip.compress(TEXT[at : at + 7]) for at in range(0, len(TEXT), 7))],
    "a block for each member": [gzip.compress(TEXT[at : at + 7]) for at in range(0, len(TEXT), 7)],
    "an empty member first": [gzip.compress(b"", mtime=0), gzip.compress(TEXT)],
    "zeros behind the last member": [gzip.compress(TEXT) + bytes(512), bytes(512)],
}


@pytest.mark.parametrize("name", BODIES)
def test_lines_end_at_line_feeds_only_however_the_file_is_packed(name: str) -> None:
    assert b"\n".join(text_of(*BODIES[name])).split(b"\n") == [
        b'{"gid":"1","name":"a\xe2\x80\xa8b\xc2\x85c"} ',
        b'{"gid":"2"}',
        b"",
        b'{"gid":"3"}',
    ]


@pytest.mark.parametrize("body", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file_has_no_lines(body: bytes) -> None:
    assert list(text_of(body)) == []


@pytest.mark.parametrize("end", range(2, len(gzip.compress(TEXT))))
def test_a_file_cut_off_anywhere_is_not_whole(end: int) -> None:
    with pytest.raises(DownloadError) as error:
        list(text_of(gzip.compress(TEXT)[:end]))
    assert error.value.cause == "the gzip data ends too early"


@pytest.mark.parametrize("at", range(len(gzip.compress(TEXT))))
def test_a_file_with_a_byte_changed_anywhere_is_not_read_as_another(at: int) -> None:
    body = bytearray(gzip.compress(TEXT, mtime=0))
    body[at] ^= 0x10
    try:
        text = b"".join(read_text([bytes(body)]))
    except DownloadError:
        return
    # gzip does not protect the few bytes of its header that are of no use here: the time, say
    assert (text, at < 10) == (TEXT, True)


@pytest.mark.parametrize("body", [b"<html><h1>502</h1></html>", b"\xef\xbb\xbf{}", b"  <?xml version='1.0'?><Error/>"])
def test_what_is_no_export_file_is_named_however_it_is_packed(body: bytes) -> None:
    for pieces in ([body], [gzip.compress(body)], [gzip.compress(gzip.compress(body))]):
        with pytest.raises(OtherFileError) as error:
            list(text_of(*pieces))
        assert error.value.cause == f"it is neither gzip nor JSON but begins with {body!r}"


@pytest.mark.parametrize(
    ("pieces", "begin"),
    [([b"<h", b"", b"tml>"], b"<h"), ([b" ", b"\n", b"", b"<html>"], b" \n<html>"), ([b" \n", b"\r\n<"], b" \n\r\n<")],
)
def test_what_is_no_export_file_is_named_by_what_has_come_of_it(pieces: list[bytes], begin: bytes) -> None:
    with pytest.raises(OtherFileError) as error:
        list(text_of(*pieces))
    assert error.value.cause == f"it is neither gzip nor JSON but begins with {begin!r}"


HEADERS = {
    f"{flags:05b}": bytes([0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255])
    + b"\x05\x00extra" * bool(flags & 4)
    + b"a name\0" * bool(flags & 8)
    + b"a comment\0" * bool(flags & 16)
    for flags in range(0, 32, 2)
}
"""Headers of gzip with every choice of the fields that may be there or not, by their flags (RFC 1952, 2.3)."""


@pytest.mark.parametrize("flags", HEADERS)
@pytest.mark.parametrize("library", ["isal", "zlib"])
def test_a_member_may_have_any_header_wherever_the_network_cuts_it(
    flags: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "zlib":
        monkeypatch.setattr(deflate, "igzip_lib", None)
    header = HEADERS[flags]
    if header[3] & 2:
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    member = header + gzip.compress(TEXT, mtime=0)[10:]
    for cut in range(2, len(member)):
        for pieces in ([member[:cut], member[cut:]], [member + member[:cut], b"", member[cut:]]):
            assert b"".join(read_text(pieces)) in {TEXT, TEXT + TEXT}
        with pytest.raises(DownloadError, match="the gzip data ends too early"):
            list(read_text([member[:cut]]))


@pytest.mark.parametrize("packing", ["plain", "content_encoding", "multi_member", "no_newline_at_end"])
def test_every_packing_brings_the_same_records(packing: str, sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.faults = {packing: 1}
    run = run_tap(settings_for(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("truncated", "the gzip data ends too early"),
        ("corrupt", "the gzip data is damaged"),
        ("html_page", "it is neither gzip nor JSON but begins with b'<html>"),
        ("bad_line", "it is not UTF-8 but begins with"),
    ],
)
def test_a_broken_file_fails_the_run_with_line_and_cause_and_moves_no_bookmark(
    fault: str, cause: str, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {fault: -1}
    run = run_tap(settings_for(sandbox))

    line = len(run.records("tasks") + run.records("messages") + run.records("teams")) + 1
    [exports] = run.state["bookmarks"]["exports"]["partitions"]
    job_gid = exports["pending"]["job_gid"]
    assert run.code == 1
    assert run.last_line.startswith(
        f"Workspace {WORKSPACE}: the file of export job {job_gid} breaks at line {line}: {cause}"
    )
    assert ". Bookmarks stay where they were. Run again. " in run.last_line
    assert [set(each) for each in run.state["bookmarks"]["tasks"]["partitions"]] == [{"context", "scope"}]
    assert run.records("exports") == []


def test_without_isal_the_file_is_read_by_zlib(
    sandbox: Sandbox, arguments: Callable[..., list[str]], run_tap: Callable[..., Run]
) -> None:
    without = "import sys; sys.modules['isal'] = None; from tap_asana_export.__main__ import main; main()"
    sandbox.faults = {"multi_member": 2}
    options = arguments(settings_for(sandbox))[len(TAP) :]
    done = subprocess.run([sys.executable, "-c", without, *options], capture_output=True, check=True)

    run = Run(done.returncode, done.stdout, done.stderr.decode())
    assert run.by_gid("tasks") == run_tap(settings_for(sandbox)).by_gid("tasks") == expected(sandbox, "tasks")


@pytest.mark.parametrize("fault", ["drop_download", "wrong_length", "expired_url"])
def test_a_download_that_breaks_once_comes_through(fault: str, sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.faults = {fault: 1}
    run = run_tap(settings_for(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert len(run.records("tasks")) == 40


def test_the_token_does_not_go_to_the_storage_host(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run_tap(settings_for(sandbox))

    seen = {each.path.split("/")[1]: {name.lower() for name in each.headers} for each in sandbox.requests}
    assert "authorization" in seen["api"]
    assert "authorization" not in seen["object_export"]


def test_the_url_is_asked_for_right_before_the_download(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run_tap(settings_for(sandbox))

    paths = [each.path for each in sandbox.requests]
    assert [path.split("/")[1] for path in paths][-2:] == ["api", "object_export"]
    assert "/jobs/" in paths[-2]


@pytest.mark.parametrize("settings", [{}, {"access_token": "0/an-outdated-5ecret"}])
@pytest.mark.parametrize("fault", [None, "expired_url", "corrupt", "drop_download", "html_page"])
def test_no_log_at_any_level_and_no_message_holds_the_token_or_a_signed_url(
    settings: dict[str, str], fault: str | None, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.access_token = "0/7c5a9f3e-5ecret"  # noqa: S105 - a test's
    sandbox.faults = {fault: 1} if fault else {}
    run = run_tap(settings_for(sandbox, **settings), env={"LOGLEVEL": "DEBUG"})

    for output in (run.stdout.decode(), run.stderr):
        assert sandbox.access_token not in output
        assert "X-Amz-" not in output
        assert "0/an-outdated-5ecret" not in output
