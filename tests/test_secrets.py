"""No secret gets out: not by a log at DEBUG, not by a foreign log configuration, not by what a server repeats."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tap_asana_export import redaction
from tap_asana_export.asana.client import Asana
from tap_asana_export.errors import AnswerError, TapError
from tap_asana_export.redaction import redact, redact_error, without_credentials
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.waiting import finish
from tests.support.leaks import LEAK, MARK, TOKEN, log_config, require_no_secret, write_log_config
from tests.support.odd_asana import SIGNATURE, OddAsana, Storage, cut, raw
from tests.support.tap import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.odd_asana import Request
    from tests.support.tap import Run

LINES = b"".join(
    b'{"gid":"%d","resource_type":"task","modified_at":"2026-11-26T09:00:00.000Z"}\n' % number for number in range(9)
)
STORAGE = Storage(LINES, {"ETag": '"a"'})
GRANT = {"client_id": f"{MARK}-id-1", "client_secret": f"{MARK}/+ =&é", "refresh_token": f"2/{MARK}-refresh"}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of the tests before: one of them is the word "password"."""
    monkeypatch.setattr(redaction, "_secrets", redaction._Secrets())  # noqa: SLF001


# ── whole runs, with all loggers at DEBUG ─────────────────────────────────────────────────────────────────


def structured() -> dict[str, Any]:
    config = log_config()
    config["handlers"]["everything"]["formatter"] = "structured"
    return config


LOGS = {"a foreign log": log_config, "a structured log": structured}


@pytest.fixture(params=LOGS)
def debug(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a run that logs everything."""
    return write_log_config(tmp_path / "log.yml", LOGS[request.param]())


HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nno colon here\r\n\r\n" % len(LINES) + LINES


def repeated(text: bytes) -> Callable[[Request], bytes]:
    """A file that holds the signature of the URL that it comes from."""
    return lambda request: raw("200 OK", text % request.target.partition("=")[2].encode())(request)


REPEATED = f"https://user:{MARK}@storage.example/file?X-Amz-Signature={SIGNATURE}"
SCENES: dict[str, tuple[list[Any], int, str]] = {
    "all is well": ([], 0, ""),
    "a header without a colon": ([lambda _: HEADER], 0, "Failed to parse headers"),
    "a break": ([cut(STORAGE.answer, 0.5)], 0, "going on in 0 s"),
    "a redirect with a signature and a password": (
        [raw("307 Temporary Redirect", Location=f"/file/again?X-Amz-Signature={SIGNATURE}")],
        0,
        "/file/again",
    ),
    "a redirect to nobody": (
        [raw("307 Temporary Redirect", Location=REPEATED.replace("storage.example", "["))],
        0,
        "storage redirected to what is no URL",
    ),
    "a reason that repeats the URL": ([raw(f"400 No {REPEATED} here")], 1, "storage answered 400 No https://"),
    "a page that repeats the URL": ([raw("200 OK", f"<{REPEATED}".encode())], 1, "neither gzip nor JSON"),
    "a page that begins with the signature": ([repeated(b"%b <html>")], 1, "neither gzip"),
    "a line that repeats the signature": ([repeated(b'{"a":"%b"}')], 1, "breaks at line 1"),
    "a head too large": ([raw("200 OK", b"", X=SIGNATURE * 9000)], 0, "going on"),
}


@pytest.mark.parametrize("scene", SCENES)
def test_no_secret_is_in_any_log_of_a_download(scene: str, debug: dict[str, str], run_tap: Callable[..., Run]) -> None:
    scenes, code, words = SCENES[scene]
    with OddAsana(STORAGE, scenes) as server:
        run = run_tap(server.settings(), env=debug)
    assert (run.code, words in run.stderr, "urllib3.connectionpool" in run.stderr) == (code, True, True)
    assert "/file?***" in run.stderr
    assert "Traceback" not in run.stderr


ANSWERS: dict[str, tuple[Any, str]] = {
    "a message that repeats the token": (
        raw("400 Bad Request", json.dumps({"errors": [{"message": f"What is\n{TOKEN}, Bearer {TOKEN}?"}]}).encode()),
        "Asana answered 400: What is ***, Bearer ***",
    ),
    "a reason that repeats the header": (
        raw(f"401 Not with Authorization: Bearer {TOKEN}"),
        "Asana answered 401: Not with Authorization: ***",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_the_api_repeats_is_not_shown(answer: str, debug: dict[str, str], run_tap: Callable[..., Run]) -> None:
    first, words = ANSWERS[answer]
    with OddAsana(STORAGE, first_api_answer=first) as server:
        run = run_tap(server.settings(access_token=TOKEN), env=debug)
    assert (run.code, words in run.stderr, "Traceback" in run.stderr) == (1, True, False)


@pytest.mark.soak
def test_no_secret_is_in_any_log_of_oauth(debug: dict[str, str], run_tap: Callable[..., Run]) -> None:
    small: dict[str, Any] = {**GRANT, "tasks": 5, "large": 0, "change_interval": 0, "access_token": "none"}
    with Sandbox(**small, job_seconds=1, token_seconds=1) as sandbox:
        settings = settings_for(sandbox, **GRANT, poll_interval=0.3) | {"access_token": None}
        run = run_tap(settings, env=debug)
        wrong = run_tap(settings | {"client_secret": f"{MARK}-wrong"}, env=debug)
        given = [each.headers["authorization"].split(" ")[1] for each in sandbox.requests if "/jobs/" in each.path]
    assert (run.code, wrong.code, len(set(given)) > 1) == (0, 1, True)
    assert not any(token in output for token in given for output in (run.stderr, run.stdout.decode()))


@pytest.mark.soak
def test_no_secret_is_in_any_log_of_a_resumed_run(
    sandbox: Sandbox, debug: dict[str, str], run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"corrupt": 1, "server_error": 1}
    first = run_tap(settings_for(sandbox), env=debug)
    second = run_tap(settings_for(sandbox), state=first.state, env=debug)
    refused = run_tap(settings_for(sandbox, access_token=f"0/another-{MARK}"), env=debug)
    assert (first.code, second.code, refused.code) == (1, 0, 1)


URLS = [
    f"https://user:{MARK}-pass@127.0.0.1:9/export.gz?X-Amz-Signature={SIGNATURE}",
    f"simplecache::https://user:{MARK}-pass@127.0.0.1:9/export.gz?sig={MARK}",
    f"https://user:{MARK}/pa@ss@127.0.0.1:9/export.gz",
    f"https://user:{MARK}-pass@127.0.0.1:x",
    f"s3://{MARK}:{MARK}@bucket/export.gz",
    f"ftp://user:{MARK}-pass@127.0.0.1:9/export.gz",
    f"carrier-pigeon://user:{MARK}-pass@home",
    f"zip://export.gz::https://{MARK}@127.0.0.1:9/a.zip?token={MARK}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_of_a_file_is_shown_without_password_and_query(
    url: str, tmp_path: Path, run_tap: Callable[..., Run]
) -> None:
    env = write_log_config(tmp_path / "log.yml", log_config())
    run = run_tap({"export_files": [url]}, env=env)
    assert (run.code, "Traceback" in run.stderr) == (1, False)
    assert f"Settings: export_files names {without_credentials(url)}, which" in run.last_line


def test_a_place_of_batch_files_is_shown_without_password(tmp_path: Path, run_tap: Callable[..., Run]) -> None:
    root, params = f"ftp://user:{MARK}-pass@127.0.0.1:9/folder", {"password": f"{MARK}-pass", "key": f"{MARK}-key"}
    storage = {"root": root, "params": {"secret": f"{MARK}-secret", **params}}
    run = run_tap(
        {"sandbox": {"tasks": 2, "job_seconds": 0}, "batch_config": {"storage": storage}},
        env=write_log_config(tmp_path / "log.yml", log_config()),
    )
    assert run.code == 1
    require_no_secret(run.stderr)


# ── whose credentials go where ────────────────────────────────────────────────────────────────────────────

NETRC = f"machine 127.0.0.1 login {MARK} password {MARK}\ndefault login anonymous password me@example.com\n"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has passwords for other programs."""
    (tmp_path / ".netrc").write_text(NETRC)
    (tmp_path / ".netrc").chmod(0o600)
    return {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}


@pytest.mark.parametrize("user", ["", "user:password@"])
def test_storage_is_sent_no_credentials_and_the_api_only_the_token(
    user: str, home: dict[str, str], run_tap: Callable[..., Run]
) -> None:
    with OddAsana(STORAGE) as other:
        for first in (None, raw("307 Temporary Redirect", Location=f"http://{user}{other.host}/elsewhere")):
            scenes = [raw("302 Found", Location=f"http://{user}localhost:{other.host.split(':')[1]}/file/elsewhere")]
            other.requests.clear()
            with OddAsana(STORAGE, scenes, first_api_answer=first) as server:
                run = run_tap(server.settings(), env=home)
            sent = [(each.target[:5], each.headers.get("authorization")) for each in server.requests]
            assert (run.code, {"authorization" in each.headers for each in other.requests}) == (0, {False})
            assert set(sent) == {("/api/", f"Bearer {server.settings()['access_token']}"), ("/file", None)}
            assert len(other.requests) == (1 if first is None else 2)


@pytest.mark.parametrize("netrc", [True, False])
def test_a_session_sends_the_token_to_its_own_origin_only(
    netrc: bool,  # noqa: FBT001
    home: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if netrc:
        monkeypatch.setenv("NETRC", home["NETRC"])
    with OddAsana(STORAGE) as far, OddAsana(STORAGE) as near:
        near.first_api_answer = raw("307 Temporary Redirect", Location=f"http://{far.host}/api/jobs/9")
        job = finish(Asana(f"http://{near.host}/api", TOKEN, user_agent="test", timeout=5).job("9"))
    assert job.gid == "9"
    assert [each.headers.get("authorization") for each in (*near.requests, *far.requests)] == [f"Bearer {TOKEN}", None]


# ── proxies ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port on which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_the_built_in_sandbox_is_never_asked_by_way_of_a_proxy(dead_port: int, run_tap: Callable[..., Run]) -> None:
    proxy = f"http://user:{MARK}@127.0.0.1:{dead_port}"
    env = {name: proxy for each in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (each, each.lower())}
    run = run_tap({"sandbox": {"tasks": 3, "job_seconds": 0}, "poll_interval": 0.01}, env=env | {"NO_PROXY": ""})
    assert (run.code, len(run.records("tasks"))) == (0, 3)


def test_other_hosts_are_asked_by_way_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with OddAsana(STORAGE, api_interim=b"HTTP/1.1 103 Early Hints\r\n\r\n") as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:password@{proxy.host}")
        monkeypatch.setenv("no_proxy", "")
        job = finish(Asana("http://asana.example/api", TOKEN, user_agent="test", timeout=5).job("9"))
    [asked] = proxy.requests
    assert (job.gid, asked.target.partition("?")[0]) == ("9", "http://asana.example/api/jobs/9")
    assert asked.headers["proxy-authorization"].startswith("Basic ")


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────

SIGNED = f"X-Amz-Credential={MARK}%2F20261126&X-Amz-Signature={SIGNATURE}"
TEXTS = {
    f"GET https://h/file?{SIGNED} failed": "GET https://h/file?*** failed",
    f"(url=http://h/file?{SIGNED}): no": "(url=http://h/file?***): no",
    f'http://h:80 "GET /file?{SIGNED} HTTP/1.1" 200 None': 'http://h:80 "GET /file?*** HTTP/1.1" 200 None',
    f"Max retries with url: /file?{SIGNED} (Caused by X)": "Max retries with url: /file?*** (Caused by X)",
    f"to=https%3A%2F%2Fh%2Ff%3FX-Amz-Signature%3D{SIGNATURE}&b": "to=https%3A%2F%2Fh%2Ff%3F***",
    f"https://h/f\\u003fX-Amz-Signature\\u003d{SIGNATURE}": "https://h/f\\u003f***",
    f"https:\\/\\/u:{MARK}@h\\/f?sig={MARK}": "https:\\/\\/***@h\\/f?***",
    f"https://user:{MARK}@h:80/f": "https://***@h:80/f",
    f"https://user:{MARK}/with@all@h/f": "https://***@h/f",
    f"https%3A%2F%2Fuser%3A{MARK}%40h%2Ff": "https%3A%2F%2F***%40h%2Ff",
    f"Authorization: Bearer {TOKEN}\r\nHost: h": "Authorization: ***\r\nHost: h",
    f"{{'Authorization': b'AWS4-HMAC-SHA256 Credential={MARK}, Signature={SIGNATURE}'}}": "{'Authorization': b'***'}",
    f"send: b'GET / HTTP/1.1\\r\\nAuthorization: Bearer {TOKEN}\\r\\nHost: h\\r\\n'": (
        "send: b'GET / HTTP/1.1\\r\\nAuthorization: ***\\r\\nHost: h\\r\\n'"
    ),
    f"('Proxy-Authorization', 'Basic {MARK}')": "('Proxy-Authorization', '***')",
    f"Bearer {TOKEN}, please": "Bearer ***, please",
    f"X-Amz-Signature={SIGNATURE}": "X-Amz-Signature=***",
    f"grant_type=refresh_token&refresh_token={MARK}&client_secret={MARK}": (
        "grant_type=refresh_token&refresh_token=***&client_secret=***"
    ),
    f"FTPFileSystem(host='h', password='{MARK}')": "FTPFileSystem(host='h', password='***')",
    f'{{\\"password\\": \\"{MARK}\\"}}': '{\\"password\\": \\"***\\"}',
    f"Signature:\n{'0123456789abcdef' * 4}": "Signature:\n***",
    "a bearer token is refused; is it and/or was it?": "a bearer token is refused; is it and/or was it?",
    "Basic plans may not export": "Basic plans may not export",
    "See https://developers.asana.com/docs/errors.": "See https://developers.asana.com/docs/errors.",
    "https://host:443/a@b": "https://host:443/a@b",
    "s3://bucket/a:b@c.gz": "s3://bucket/a:b@c.gz",
}


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_found_by_where_they_stand(text: str) -> None:
    assert redact(text) == TEXTS[text]
    assert redact(redact(text)) == redact(text)


VALUE = f'0/{MARK}+a="b\\\\c" é%&'


@pytest.fixture
def known() -> Iterator[None]:
    """The secrets of a run, which are forgotten after it."""
    known, redaction._secrets = redaction._secrets, redaction._Secrets()  # noqa: SLF001
    redaction.add_secret_settings(
        {
            "access_token": f" {VALUE}\n",
            "workspaces": ["1200000000000001"],
            "api_url": f"https://user:{MARK}%2Fpassword@asana.example",
            "batch_config": {"storage": {"root": "s3://bucket", "params": {"key": f"{MARK}-key", "client_kwargs": {}}}},
            "sandbox": {"access_token": "something"},
        }
    )
    yield
    redaction._secrets = known  # noqa: SLF001


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE),
        quote(VALUE, safe="").lower().replace("%c3%a9", "%c3%a9"),
        repr(VALUE),
        repr(VALUE.encode()),
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        f"{MARK}/password",
        f"{MARK}%2Fpassword",
        f"{MARK}-key",
    ],
)
def test_secret_settings_are_found_wherever_they_stand(form: str) -> None:
    assert LEAK.search(form)
    assert LEAK.search(redact(f"before {form} after")) is None
    assert redact("workspace 1200000000000001 and something") == "workspace 1200000000000001 and something"


@pytest.mark.usefixtures("known")
def test_what_comes_up_during_a_run_is_forgotten_only_after_much_else() -> None:
    for number in range(redaction.MOST_DERIVED + 1):
        redaction.add_secrets(f"derived-{number:09}")
    assert redact("derived-000000000 derived-000000001 derived-000000500") == "derived-000000000 *** ***"
    assert redact(VALUE) == "***"


def test_an_error_is_one_line_without_secrets() -> None:
    assert str(TapError(f"one\r\n two \x1b[31m Bearer {TOKEN}")) == "one  two  [31m Bearer ***"
    assert str(AnswerError("GET /x", 400, f"https://h/f?{SIGNED}")).startswith(
        "GET /x: Asana answered 400: https://h/f?***"
    )


# ── where texts leave the process ─────────────────────────────────────────────────────────────────────────


def test_a_log_line_that_cannot_be_formatted_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    redaction.install()
    logging.getLogger("asyncio").error("%d of %s", f"Bearer {TOKEN}")  # noqa: PLE1206
    assert [each.getMessage() for each in caplog.records] == ["'%d of %s' ('Bearer ***',)"]


def test_a_log_line_without_a_secret_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    redaction.install()
    value = object()
    logging.getLogger("any").error("one %s", value)
    [record] = caplog.records
    assert (record.msg, record.args) == ("one %s", (value,))


def test_an_error_in_a_log_looks_like_itself_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    redaction.install()
    try:
        try:
            raise ValueError(f"inner https://h/f?{SIGNED}")  # noqa: TRY301
        except ValueError as inner:
            raise OSError(f"outer Bearer {TOKEN}") from inner
    except OSError:
        logging.getLogger("any").exception("It broke")
    [record] = caplog.records
    assert record.exc_info
    error = record.exc_info[1]
    assert error is not None
    assert (type(error).__name__, str(error), str(error.__cause__)) == (
        "OSError",
        "outer Bearer ***",
        "inner https://h/f?***",
    )
    assert "ValueError: inner https://h/f?***" in caplog.text


def test_errors_that_refer_to_each_other_are_cleaned() -> None:
    first, second = ValueError(f"Bearer {TOKEN}"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert str(redact_error(first)) == "Bearer ***"
    assert redact_error(third := ValueError("third")) is third


HOOKS = f"""
import sys, threading, warnings
from tap_asana_export import redaction
redaction.install()
redaction.install()
class Noisy:
    def __repr__(self): return "Bearer {TOKEN}"
    def __del__(self): raise ValueError("https://h/f?{SIGNED}")
def fail(): raise ValueError("Bearer {TOKEN}")
warnings.warn("https://user:{MARK}@h/f?{SIGNED}")
thread = threading.Thread(target=fail, name="worker")
thread.start()
thread.join()
Noisy()
fail()
"""


def test_what_nobody_catches_is_printed_without_secrets() -> None:
    done = subprocess.run([sys.executable, "-c", HOOKS], capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert "UserWarning: https://***@h/f?***" in done.stderr
    assert "Exception in thread worker" in done.stderr
    assert "ValueError: https://h/f?***" in done.stderr
    assert done.stderr.count("ValueError: Bearer ***") == 2


def test_hooks_of_others_still_get_what_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[object] = []
    for owner, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, name, lambda *args: got.append(args[-1]))
    monkeypatch.setattr(warnings, "showwarning", lambda *args: got.append(args[0]))
    redaction._install_hooks()  # noqa: SLF001
    redaction._install_warnings()  # noqa: SLF001
    error, warning = ValueError("plain"), UserWarning("plain")
    args = threading.ExceptHookArgs((ValueError, error, None, None))
    sys.excepthook(ValueError, error, None)
    threading.excepthook(args)
    warnings.showwarning(warning, UserWarning, "file", 1)
    assert got == [None, args, warning]


def test_a_gzipped_line_that_repeats_the_signature_is_not_shown(run_tap: Callable[..., Run]) -> None:
    data = gzip.compress(b'{"gid": ' + f'"https://h/f?{SIGNED}"'.encode())
    with OddAsana(Storage(data)) as server:
        run = run_tap(server.settings())
    assert run.code == 1
