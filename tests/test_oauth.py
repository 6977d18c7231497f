"""OAuth: access tokens for a refresh token, in time, and secrets that go nowhere else."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

import pytest

from tap_asana_export.asana.auth import Grant
from tap_asana_export.asana.client import Asana
from tap_asana_export.errors import GrantError, UnreachableError
from tap_asana_export.sandbox import Sandbox
from tap_asana_export.sandbox.wire import Answer, Listener, json_answer
from tap_asana_export.waiting import finish
from tests.support.organizations import expected
from tests.support.tap import WORKSPACE, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_asana_export.sandbox.wire import Request
    from tests.support.clock import Clock
    from tests.support.tap import Run

GRANT = {"client_id": "5ecret-9876501", "client_secret": "5ecret-987650002", "refresh_token": "2/5ecret-987650003"}
SMALL: dict[str, Any] = {
    **GRANT,
    "tasks": 5,
    "messages": 2,
    "teams": 1,
    "large": 0,
    "change_interval": 0,
    "access_token": "none",
}
FORM = {"grant_type": "refresh_token", **GRANT}
TOKEN, POST, POLL, FILE = "POST oauth_token", "POST resource", "GET job", "GET file"
REMEDY = (
    "Check the settings client_id, client_secret and refresh_token; if they are right, the app's access was revoked: "
    "authorize it anew, and set the refresh_token that this brings."
)

UNREADABLE = (
    "Something between the tap and Asana may have answered: check the network, its proxies and the setting api_url, "
    "then run again."
)
UNREACHABLE = "Check the network and https://status.asana.com, then run again: a running job is kept in the state."


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """A sandbox whose time stands still, and which knows no token but those it gives for the grant."""
    clock.now = datetime.now(timezone.utc)
    with Sandbox(**SMALL, job_seconds=0, retry_after=0, clock=clock) as sandbox:
        yield sandbox


def oauth_settings(api: Any, **settings: Any) -> dict[str, Any]:
    return settings_for(api, access_token=None, **GRANT, **settings)


def kind(method: str, path: str) -> str:
    parts = path.split("/")
    if parts[1] == "object_export":
        return FILE
    return POLL if parts[-2] == "jobs" else f"{method} {parts[-1]}"


def asked(sandbox: Sandbox) -> list[tuple[str, int]]:
    """What the sandbox was asked for, and how it answered."""
    return [(kind(each.method, each.path), each.status) for each in sandbox.requests]


def forms(sandbox: Sandbox) -> list[dict[str, str]]:
    return [form(each.body) for each in sandbox.requests if each.path == "/-/oauth_token"]


def form(body: bytes) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(body.decode()).items()}


def holds_no_secret(run: Run) -> bool:
    return not any(secret in output for secret in GRANT.values() for output in (run.stdout.decode(), run.stderr))


# ── tokens in time ────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_with_oauth_brings_everything_with_one_token(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    run = run_tap(oauth_settings(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert asked(sandbox) == [(TOKEN, 200), (POST, 201), (POLL, 200), (FILE, 200)]
    assert forms(sandbox) == [FORM]


def test_a_token_that_runs_out_while_the_job_runs_is_followed_by_another(sandbox: Sandbox, clock: Clock) -> None:
    sandbox.job_seconds, sandbox.token_seconds = 10_000, 3600
    times: list[float] = []
    start = clock.monotonic()
    sandbox.on_request = lambda asked: times.append(clock.monotonic() - start) if "oauth" in asked.path else None
    asana = Asana(sandbox.api_url, Grant(**GRANT), user_agent="test", timeout=5, clock=clock)
    job = finish(asana.request_export(WORKSPACE, [{"resource_type": "task"}]), clock)
    while job.status != "succeeded":
        clock.sleep(500)
        job = finish(asana.job(job.gid), clock)

    assert clock.monotonic() - start == 10_000
    # The first look after 3240 s of a token gets another one.
    assert times == [0, 3500, 7000]
    assert {status for _, status in asked(sandbox)} == {200, 201}
    assert forms(sandbox) == [FORM] * 3


@pytest.mark.soak
def test_short_tokens_are_renewed_while_a_real_run_polls(run_tap: Callable[..., Run]) -> None:
    with Sandbox(**SMALL, job_seconds=2.5, token_seconds=1) as sandbox:
        run = run_tap(oauth_settings(sandbox, poll_interval=0.1))

        assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
        assert len(forms(sandbox)) >= 3


def test_a_token_that_asana_refuses_in_the_middle_of_polling_is_renewed_and_the_request_repeated(
    sandbox: Sandbox, clock: Clock, run_tap: Callable[..., Run]
) -> None:
    sandbox.job_seconds = 5000
    polls = 0

    def let_time_pass(request: Request) -> None:
        nonlocal polls
        if kind(request.method, request.path) == POLL:
            polls += 1
            if polls in {2, 5}:
                clock.sleep(3600)  # for Asana, not for the tap

    sandbox.on_request = let_time_pass
    run = run_tap(oauth_settings(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    renewed = [(POLL, 401), (TOKEN, 200), (POLL, 200)]
    assert asked(sandbox) == [
        *[(TOKEN, 200), (POST, 201), (POLL, 200)],
        *renewed,
        *[(POLL, 200), *renewed],
        (FILE, 200),
    ]


def test_a_download_that_goes_on_after_an_hour_gets_its_url_with_another_token(
    sandbox: Sandbox, clock: Clock, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"drop_download": 1}
    polls = 0

    def let_time_pass(request: Request) -> None:
        nonlocal polls
        polls += kind(request.method, request.path) == POLL
        if polls == 2:
            polls += 1
            clock.sleep(3600)

    sandbox.on_request = let_time_pass
    run = run_tap(oauth_settings(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert asked(sandbox)[2:] == [
        *[(POLL, 200), (FILE, 200), (POLL, 401), (TOKEN, 200), (POLL, 200), (FILE, 206)],
    ]


def test_a_second_refusal_of_a_request_is_an_error(sandbox: Sandbox, run_tap: Callable[..., Run]) -> None:
    sandbox.token_seconds = 0
    run = run_tap(oauth_settings(sandbox))

    assert (run.code, run.last_line) == (
        1,
        "POST /exports/resource: Asana answered 401: Not Authorized. The token is wrong, expired or revoked: "
        "set access_token, or the settings of OAuth, anew.",
    )
    assert asked(sandbox) == [(TOKEN, 200), (POST, 401), (TOKEN, 200), (POST, 401)]


def test_the_sandbox_within_the_tap_needs_no_settings_of_oauth_and_minds_none(run_tap: Callable[..., Run]) -> None:
    sandbox = {"tasks": 3, "large": 0, "job_seconds": 0}
    runs = [run_tap({"poll_interval": 0.01, "sandbox": sandbox, **each}) for each in ({}, GRANT)]

    assert [(run.code, len(run.records("tasks"))) for run in runs] == [(0, 3)] * 2


# ── a token endpoint that does not give one ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ("client_id", "401: invalid_client"),
        ("client_secret", "401: invalid_client"),
        ("refresh_token", "400: invalid_grant"),
    ],
)
def test_a_wrong_setting_ends_the_run_at_the_first_refusal(
    setting: str, refusal: str, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    run = run_tap({**oauth_settings(sandbox), setting: "wrong-987650004"})

    assert (run.code, run.last_line) == (1, f"POST /-/oauth_token: Asana answered {refusal}. {REMEDY}")
    assert [each for each, _ in asked(sandbox)] == [TOKEN]
    assert {message["type"] for message in run.messages} <= {"SCHEMA"}
    assert "Traceback" not in run.stderr
    assert "wrong-987650004" not in run.stderr


def test_a_grant_that_is_revoked_while_the_job_runs_keeps_the_job(
    sandbox: Sandbox, clock: Clock, run_tap: Callable[..., Run]
) -> None:
    sandbox.job_seconds = 5000

    def revoke(request: Request) -> None:
        if kind(request.method, request.path) == POLL:
            clock.sleep(3600)
            sandbox.refresh_token = "another"  # noqa: S105 - a test's

    sandbox.on_request = revoke
    broken = run_tap(oauth_settings(sandbox))
    sandbox.on_request = None
    sandbox.refresh_token = GRANT["refresh_token"]
    clock.sleep(3600)
    mended = run_tap(oauth_settings(sandbox), state=broken.state)

    assert (broken.code, broken.last_line) == (
        1,
        f"POST /-/oauth_token: Asana answered 400: invalid_grant. {REMEDY}",
    )
    assert (mended.code, mended.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert [each for each, _ in asked(sandbox)].count(POST) == 1


def test_a_grant_that_is_revoked_during_the_download_keeps_what_came(
    sandbox: Sandbox, clock: Clock, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {"drop_download": 1}

    def revoke(request: Request) -> None:
        if kind(request.method, request.path) == POLL and (FILE, 200) in asked(sandbox):
            clock.sleep(3600)
            sandbox.refresh_token = "another"  # noqa: S105 - a test's

    sandbox.on_request = revoke
    broken = run_tap(oauth_settings(sandbox))
    came = sum(len(broken.records(stream)) for stream in ("tasks", "messages", "teams"))
    [pending] = [each["pending"] for each in broken.state["bookmarks"]["exports"]["partitions"]]

    assert (broken.code, broken.last_line) == (
        1,
        f"Workspace {WORKSPACE}: the file of export job {pending['job_gid']} breaks at line {came + 1}: "
        f"POST /-/oauth_token: Asana answered 400: invalid_grant. {REMEDY} Bookmarks stay where they were. "
        "Run again. The same job is gone on with.",
    )
    assert 0 < came == pending["lines"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("unavailable", 503), ("server_error", 500), ("rate_limited", 429), ("rate_limited_without_hint", 429)],
)
def test_a_token_endpoint_that_fails_once_is_asked_again(
    fault: str, status: int, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {fault: 1}
    run = run_tap(oauth_settings(sandbox))

    assert (run.code, run.by_gid("tasks")) == (0, expected(sandbox, "tasks"))
    assert asked(sandbox) == [(TOKEN, status), (TOKEN, 200), (POST, 201), (POLL, 200), (FILE, 200)]
    assert f"POST /-/oauth_token: Asana answered {status} " in run.stderr
    assert "Asking once more" not in run.stderr  # that would be for an export whose answer was lost


# ── a token endpoint that answers as it likes ─────────────────────────────────────────────────────────────


class Api:
    """An API that grants tokens as it is told, and knows any workspace to who has the last one."""

    access_token = "none"  # noqa: S105 - a test's

    def __init__(self, grants: Callable[[int], Answer]) -> None:
        self.requests: list[Request] = []
        self._grants = grants
        self._listener = Listener(0, self._respond)
        self.api_url = f"{self._listener.url}/api/1.0"

    def _respond(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.path == "/-/oauth_token":
            return self._grants(len(self.forms))
        bearer = f"Bearer token-{len(self.forms)}"
        known = request.headers["Authorization"] == bearer
        return json_answer({"data": {"gid": WORKSPACE}}) if known else json_answer({"errors": []}, 401)

    @property
    def forms(self) -> list[dict[str, str]]:
        return [form(each.body) for each in self.requests if each.path == "/-/oauth_token"]

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def api() -> Iterator[Callable[[Callable[[int], Answer]], Api]]:
    apis: list[Api] = []

    def start(grants: Callable[[int], Answer]) -> Api:
        apis.append(Api(grants))
        return apis[-1]

    yield start
    for each in apis:
        each.close()


def test_a_refresh_token_that_replaces_the_old_one_is_used_from_then_on(
    api: Callable[..., Api], run_tap: Callable[..., Run]
) -> None:
    rotating = api(
        lambda n: json_answer({"access_token": f"token-{n}", "expires_in": 0, "refresh_token": f"2/98765-{n}"})
    )
    run = run_tap(oauth_settings(rotating, workspaces=["1", "2"]), "--test")

    assert run.code == 0
    assert rotating.forms == [FORM, {**FORM, "refresh_token": "2/98765-1"}]


def test_a_token_whose_answer_was_lost_is_asked_for_again(api: Callable[..., Api], clock: Clock) -> None:
    losing = api(lambda n: json_answer({"access_token": "token-2"}) if n > 1 else Answer(200, cut=-1))
    finish(Asana(losing.api_url, Grant(**GRANT), user_agent="test", timeout=5, clock=clock).workspace(WORKSPACE), clock)

    assert losing.forms == [FORM] * 2


def test_a_token_is_not_asked_for_forever(api: Callable[..., Api], clock: Clock) -> None:
    closed = api(lambda _: Answer(503))
    asana = Asana(closed.api_url, Grant(**GRANT), user_agent="test", timeout=5, clock=clock)
    with pytest.raises(UnreachableError) as error:
        finish(asana.workspace(WORKSPACE), clock)

    assert str(error.value) == f"POST /-/oauth_token: Asana answered 503 Service Unavailable. {UNREACHABLE}"
    assert len(closed.requests) == 7


def test_a_token_without_expires_in_is_good_for_an_hour(api: Callable[..., Api], clock: Clock) -> None:
    plain = api(lambda n: json_answer({"access_token": f"token-{n}", "refresh_token": None}))
    asana = Asana(plain.api_url, Grant(**GRANT), user_agent="test", timeout=5, clock=clock)
    granted = []
    for seconds in (0, 3239, 1, 3239, 1):
        clock.sleep(seconds)
        finish(asana.workspace(WORKSPACE), clock)
        granted.append(len(plain.forms))

    assert granted == [1, 1, 2, 2, 3]
    assert plain.forms == [FORM] * 3


@pytest.mark.soak
@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            json_answer({"error": "2/5ecret-987650003", "error_description": "5ecret-987650002"}, 400),
            f"POST /-/oauth_token: Asana answered 400: Bad Request. {REMEDY}",
        ),
        (
            Answer(403, b"<html>", {"Content-Type": "text/html"}),
            f"POST /-/oauth_token: Asana answered 403: Forbidden. {REMEDY}",
        ),
        (json_answer([], 404), f"POST /-/oauth_token: Asana answered 404: Not Found. {REMEDY}"),
        (
            json_answer({"access_token": 987650003}),
            "POST /-/oauth_token: the answer cannot be used: it is application/json; charset=UTF-8 that is not what "
            f"Asana documents (Expected `str`, got `int` - at `$.access_token`). {UNREADABLE}",
        ),
        (
            Answer(200, b"<html>2/5ecret-987650003", {"Content-Type": "text/html"}),
            "POST /-/oauth_token: the answer cannot be used: it is text/html that is not what Asana documents "
            f"(JSON is malformed: invalid character (byte 0)). {UNREADABLE}",
        ),
    ],
)
def test_an_answer_that_is_no_token_ends_the_run_without_what_it_says(
    answer: Answer,
    line: str,
    api: Callable[..., Api],
    run_tap: Callable[..., Run],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    odd = api(lambda _: answer)
    run = run_tap(oauth_settings(odd), "--test", env={"LOGLEVEL": "DEBUG"})

    assert (run.code, run.last_line, len(odd.requests)) == (1, line, 1)
    assert holds_no_secret(run)


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_of_the_token_is_told_from_a_busy_slot_and_a_job_that_is_gone(
    status: int, api: Callable[..., Api], clock: Clock
) -> None:
    refusing = api(lambda _: json_answer({}, status))
    asana = Asana(refusing.api_url, Grant(**GRANT), user_agent="test", timeout=5, clock=clock)
    with pytest.raises(GrantError) as error:
        finish(asana.job("1"), clock)

    assert (error.value.status, len(refusing.requests)) == (401, 1)


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────────────


def test_secrets_do_not_follow_a_redirect(api: Callable[..., Api], run_tap: Callable[..., Run]) -> None:
    elsewhere = api(lambda n: json_answer({"access_token": f"token-{n}"}))
    to = elsewhere.api_url.replace("/api/1.0", "/-/oauth_token")
    moved = api(lambda _: Answer(307, b"", {"Location": to}))
    run = run_tap(oauth_settings(moved), "--test")

    assert (run.code, len(moved.requests), elsewhere.requests) == (1, 1, [])
    assert run.last_line.startswith("POST /-/oauth_token: ")


@pytest.mark.parametrize("fault", [None, "expired_url", "unavailable", "corrupt", "drop_download", "failed_job"])
def test_no_secret_is_told_at_any_level_nor_sent_to_storage(
    fault: str | None, sandbox: Sandbox, run_tap: Callable[..., Run]
) -> None:
    sandbox.faults = {fault: 1} if fault else {}
    run = run_tap(oauth_settings(sandbox), env={"LOGLEVEL": "DEBUG"})

    told: dict[str, list[str]] = {}
    for each in sandbox.requests:
        told.setdefault(kind(each.method, each.path), []).append(json.dumps(each.headers) + each.body.decode())
    [token] = {
        each.headers["authorization"].removeprefix("Bearer ") for each in sandbox.requests if "/api/" in each.path
    }
    secrets = [*GRANT.values(), quote(GRANT["refresh_token"], safe=""), token]
    assert len(run.records("tasks")) == (0 if fault == "corrupt" else 5)
    assert not any(secret in output for secret in secrets for output in (run.stdout.decode(), run.stderr))
    assert not any(secret in each for secret in secrets for each in told[FILE])
    assert not any("authorization" in each for each in told[FILE] + told[TOKEN])
    assert not any(secret in each for secret in secrets[:-1] for each in told[POST] + told[POLL])
