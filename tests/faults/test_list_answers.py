"""Lists that Asana refuses, breaks off, or sends in ways it should not: one line each, and the others come through."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.lists import only
from tests.support.scripted_api import Answer, Asked, ScriptedApi, page, paged, refusal
from tests.support.tap import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USERS, TAGS, PROJECTS = "/users", "/workspaces/1/tags", "/workspaces/1/projects"
PORTFOLIOS, TIME = "/portfolios", "/time_tracking_entries"


def objects(kind: str, *numbers: int) -> list[dict[str, Any]]:
    return [{"gid": str(number), "resource_type": kind, "name": f"{kind} {number}"} for number in numbers]


def gids(run: Run, stream: str) -> list[str]:
    return [record["gid"] for record in run.records(stream)]


def activated(run: Run) -> set[str]:
    return {message["stream"] for message in run.of("ACTIVATE_VERSION")}


def unusable(what: str, cause: str = "") -> str:
    """The words for an answer that cannot be used, of some type and for some cause."""
    text = f"it is {what} that is not what Asana documents ({cause})" if cause else what
    return (
        f"the answer cannot be used: {text}. Something between the tap and Asana may have answered: check the network, "
        "its proxies and the setting api_url, then run again."
    )


ASKED = "Workspace 1, users: GET /users: "
ODD = {
    "the plan lacks it": (
        refusal(402, "Payment Required"),
        "Asana answered 402: Payment Required. The organization's plan has no such objects: deselect the stream.",
    ),
    "the token may not": (
        refusal(403, "Forbidden"),
        "Asana answered 403: Forbidden. The token may not read it: give the service account or app the scope, or "
        "deselect the stream.",
    ),
    "the workspace is unknown": (
        refusal(404, "workspace: Unknown object: 1"),
        "Asana answered 404: workspace: Unknown object: 1. Asana does not know it, or the token cannot see it: check "
        "the setting workspaces.",
    ),
    "no data": (
        Answer(200, {"next_page": None}),
        unusable("no type", "Object missing required field `data`"),
    ),
    "null": (
        Answer(200, {"data": None}),
        unusable("no type", "Expected `array`, got `null` - at `$.data`"),
    ),
    "an object": (
        Answer(200, {"data": {"gid": "1"}}),
        unusable("no type", "Expected `array`, got `object` - at `$.data`"),
    ),
    "a page without an offset": (
        Answer(200, {"data": [], "next_page": {}}),
        unusable("no type", "Object missing required field `offset` - at `$.next_page`"),
    ),
    "HTML": (
        Answer(200, b"<html>", {"Content-Type": "text/html"}),
        unusable("text/html", "JSON is malformed: invalid character (byte 0)"),
    ),
    "the same page for ever": (
        page(objects("user", 1), "a"),
        unusable("its next page is one that came before"),
    ),
}


@pytest.mark.parametrize(("answer", "words"), ODD.values(), ids=ODD)
def test_a_list_that_cannot_be_read_is_named_and_the_other_comes_through(
    answer: Answer, words: str, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with ScriptedApi({USERS: answer, TAGS: paged(objects("tag", 1, 2))}) as api:
        run = run_tap(
            api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["exports", "users", "tags"])
        )
    assert run.code == 1
    assert run.last_line == f"1 of 2 exports and lists failed. {ASKED}{words} The other 1 came through."
    assert gids(run, "tags") == ["1", "2"]
    assert activated(run) == {"tags"}
    assert [record["list"] for record in run.records("exports")] == ["tags"]


ODD_OBJECTS = {
    "without a gid": b'{"resource_type": "user"}',
    "without a type": b'{"gid": "1"}',
    "a number": b"1",
    "null": b"null",
    "a broken text": b'{"gid": "1", "resource_type": "user", "name": "\xff"}',
}


@pytest.mark.parametrize("odd", ODD_OBJECTS.values(), ids=ODD_OBJECTS)
def test_an_object_that_is_none_of_asanas_ends_its_list(
    odd: bytes, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    body = b'{"data": [{"gid": "7", "resource_type": "user"}, ' + odd + b"]}"
    with ScriptedApi({USERS: Answer(200, body), TAGS: paged(objects("tag", 1))}) as api:
        run = run_tap(
            api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["exports", "users", "tags"])
        )
    assert run.code == 1
    assert run.last_line.startswith("1 of 2 exports and lists failed. Workspace 1, users: ")
    assert run.last_line.endswith(" The other 1 came through.")
    assert activated(run) == {"tags"}


def test_an_offset_that_has_expired_begins_its_list_anew_and_each_object_comes_once(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    expired = refusal(400, "offset: Your pagination token has expired.")
    whole = [page(objects("user", 1, 2), "a"), expired, page(objects("user", 2, 1), "b"), page(objects("user", 3))]
    with ScriptedApi({USERS: whole}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["users"]))
    assert run.code == 0, run.stderr
    assert gids(run, "users") == ["1", "2", "3"]
    assert [each.query.get("offset") for each in api.asked] == [None, "a", None, "b"]
    assert run.warnings == [
        "GET /users: offset: Your pagination token has expired. An offset is good for a while; beginning anew."
    ]


def test_an_offset_that_expires_twice_ends_its_list(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    expired = refusal(400, "offset: Your pagination token has expired.")
    answers = [page(objects("user", 1), "a"), expired, page(objects("user", 1), "b"), expired]
    with ScriptedApi({USERS: answers}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["users"]))
    assert run.code == 1
    assert run.last_line == (
        f"{ASKED}Asana answered 400: offset: Your pagination token has expired. Run again; if it repeats, deselect the "
        "stream: the others come without it."
    )
    assert len(api.asked) == 4


@pytest.mark.soak
def test_a_page_that_fails_is_asked_for_again(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    answers = [
        page(objects("user", 1), "a"),
        refusal(500, "Server Error"),
        refusal(429, "Rate limit", Retry_After="1"),
        page(objects("user", 2)),
    ]
    with ScriptedApi({USERS: answers}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["users"]))
    assert run.code == 0, run.stderr
    assert gids(run, "users") == ["1", "2"]
    assert [each.query.get("offset") for each in api.asked] == [None, "a", "a", "a"]


def test_an_object_that_moves_to_the_next_page_comes_once(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    with ScriptedApi({USERS: [page(objects("user", 1, 2), "a"), page(objects("user", 2, 3))]}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["exports", "users"]))
    assert gids(run, "users") == ["1", "2", "3"]
    [record] = run.records("exports")
    assert record["objects"] == {"user": 3}


@pytest.mark.parametrize("failure", [504, 503, 0], ids=["504", "503", "no answer"])
def test_projects_come_team_by_team_where_the_list_of_all_times_out(
    failure: int, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    release = threading.Event()

    def fail(_: Asked) -> Answer:
        if not failure:
            release.wait(10)
        return refusal(failure or 504, "Timeout")

    lists = {
        PROJECTS: fail,
        "/workspaces/1/teams": paged(objects("team", 8, 9)),
        "/teams/8/projects": paged(objects("project", 1, 2)),
        "/teams/9/projects": paged(objects("project", 2, 3)),
        **{f"/projects/{number}/sections": paged(objects("section", number * 10)) for number in (1, 2, 3)},
    }
    with ScriptedApi(lists) as api:
        run = run_tap(
            api.settings(emit_activate_version_messages=True, request_timeout=60 if failure else 0.3),
            catalog=only(catalog, ["exports", "projects", "sections"]),
        )
        release.set()
    assert run.code == 0, run.stderr
    assert sorted(gids(run, "projects")) == ["1", "2", "3"]
    assert sorted(gids(run, "sections")) == ["10", "20", "30"]
    assert api.paths().count(PROJECTS) == 2
    assert activated(run) == set()
    assert [record["full"] for record in run.records("exports")] == [False, False]
    assert run.warnings[-1] == (
        "Workspace 1, projects: it came by 2 teams, so projects that are in no team may be missing; nothing is "
        "deleted from its table."
    )


@pytest.mark.parametrize(("status", "is_whole"), [(404, True), (403, False)])
def test_a_project_that_is_gone_or_hidden_costs_no_other_its_sections(
    status: int,
    catalog: dict[str, Any],
    run_tap: Callable[..., Run],
    *,
    is_whole: bool,
) -> None:
    lists = {
        PROJECTS: paged(objects("project", 1, 2, 3)),
        "/projects/1/sections": paged(objects("section", 10)),
        "/projects/2/sections": refusal(status, "no"),
        "/projects/3/sections": paged(objects("section", 30)),
    }
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["exports", "sections"]))
    assert run.code == 0, run.stderr
    assert sorted(gids(run, "sections")) == ["10", "30"]
    assert activated(run) == ({"sections"} if is_whole else set())
    assert run.warnings == [f"Workspace 1, sections: Asana answered {status} for 1 of them, such as 2."]
    assert run.records("projects") == []
    assert [each.query["opt_fields"] for each in api.asked if each.path == PROJECTS] == ["gid"]


def test_where_most_projects_are_unknown_no_section_is_taken_for_deleted(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    unknown = {f"/projects/{number}/sections": refusal(404, "no") for number in (2, 3)}
    lists = {
        PROJECTS: paged(objects("project", 1, 2, 3)),
        "/projects/1/sections": paged(objects("section", 10)),
        **unknown,
    }
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["sections"]))
    assert (run.code, gids(run, "sections"), activated(run)) == (0, ["10"], set())
    assert [each.partition(", such as")[0] for each in run.warnings] == [
        "Workspace 1, sections: Asana answered 404 for 2 of them"
    ]


def test_where_another_list_is_answered_nothing_is_taken_for_deleted(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with ScriptedApi({TAGS: paged(objects("user", 1, 2))}) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["exports", "tags"]))
    assert (run.code, gids(run, "tags"), activated(run)) == (0, [], set())
    assert [record["full"] for record in run.records("exports")] == [False]
    assert run.warnings == ["Workspace 1, tags: it has 2 objects of type 'user', which no stream takes."]


@pytest.mark.parametrize(
    "number", [lambda _: 1, lambda number: number % 2, lambda number: number], ids=["same", "in turn", "ever new"]
)
def test_pages_without_end_are_an_error(
    number: Callable[[int], int], catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    count = itertools.count()
    with ScriptedApi({USERS: lambda _: page(objects("user", 1), f"o{number(next(count))}")}) as api:
        run = run_tap(api.settings(emit_activate_version_messages=True), catalog=only(catalog, ["users"]))
    assert (run.code, gids(run, "users"), activated(run)) == (1, ["1"], set())
    assert (
        unusable("its next page is one that came before") in run.last_line
        or unusable("its pages bring nothing new, and there is always another one") in run.last_line
    )
    assert len(api.asked) <= 22


def test_half_an_emoji_costs_no_list_its_objects(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    body = rb"""{"data": [{"gid": "1", "resource_type": "tag", "name": "cut \ud83d", "notes": "whole \ud83d\ude80"},
        {"gid": "2", "resource_type": "tag", "name": "\udc00\u0041"}]}"""
    with ScriptedApi({TAGS: Answer(200, body)}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["tags"]))
    assert run.code == 0, run.stderr
    names = [(record["name"], record.get("notes")) for record in run.records("tags")]
    assert names == [("cut \ufffd", "whole \U0001f680"), ("\ufffdA", None)]
    assert run.warnings == ["GET /workspaces/1/tags: the answer has half an emoji, cut by somebody: it becomes U+FFFD."]


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        (b"[1]", "it is no JSON object"),
        (b'{"resource_type": "tag"}', "Object missing required field `gid`"),
        (b'{"gid": "1", "resource_type": "tag", "name": "\xff"}', "it is not UTF-8"),
    ],
)
def test_an_object_that_is_none_of_asanas_is_told_with_its_list(
    item: bytes, cause: str, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    with ScriptedApi({TAGS: Answer(200, b'{"data": [' + item + b"]}")}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["tags"]))
    assert run.code == 1
    assert cause in run.last_line
    assert "Workspace 1, tags: " in run.last_line
    assert "file" not in run.last_line


def test_what_asana_says_is_told_without_what_no_text_can_hold_and_not_without_end(
    catalog: dict[str, Any], run_tap: Callable[..., Run], tmp_path: Path
) -> None:
    lists = {TAGS: Answer(400, rb'{"errors": [{"message": "bad \ud800 thing' + b"!" * 100_000 + b'"}]}')}
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(report=str(tmp_path / "report.json")), catalog=only(catalog, ["tags"]))
    assert run.code == 1
    assert "Asana answered 400: bad thing!!!" in run.last_line
    assert len(run.last_line) < 1300
    assert "bad   thing!!!" in (tmp_path / "report.json").read_text()


def test_workspaces_without_end_end(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    count = itertools.count()
    lists = {"/workspaces": lambda _: page([{"gid": "1"}], "AB"[next(count) % 2]), TAGS: paged(objects("tag", 1))}
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(workspaces=[]), catalog=only(catalog, ["tags"]))
    assert (run.code, gids(run, "tags"), api.paths().count("/workspaces")) == (0, ["1"], 2)


def test_lists_that_need_one_that_broke_say_so(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    with ScriptedApi({PROJECTS: refusal(403, "Forbidden"), TAGS: paged(objects("tag", 1))}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["sections", "tags"]))
    assert run.code == 1
    assert run.last_line == (
        "2 of 3 exports and lists failed. Workspace 1, projects: GET /workspaces/1/projects: Asana answered 403: "
        "Forbidden. The token may not read it: give the service account or app the scope, or deselect the stream. "
        "Workspace 1, sections: it needs the list of projects, which broke. The other 1 came through."
    )


def test_lists_of_many_objects_are_read_side_by_side_but_only_a_few_at_a_time(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    together = threading.Barrier(8)

    def sections(asked: Asked) -> Answer:
        together.wait(10)  # raises unless eight are under way
        return page(objects("section", int(asked.path.split("/")[2]) * 10))

    numbers = range(1, 25)
    lists = {
        PROJECTS: paged(objects("project", *numbers)),
        **{f"/projects/{number}/sections": sections for number in numbers},
    }
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["sections"]))
    assert run.code == 0, run.stderr
    assert sorted(map(int, gids(run, "sections"))) == [number * 10 for number in numbers]
    assert api.most_at_once == 8


@pytest.mark.parametrize("status", [400, 403])
def test_portfolios_come_as_far_as_the_user_owns_them_if_the_token_is_not_a_service_accounts(
    status: int, catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    def portfolios(asked: Asked) -> Answer:
        return page(objects("portfolio", 5)) if asked.query.get("owner") == "me" else refusal(status, "owner: missing")

    lists = {
        PORTFOLIOS: portfolios,
        "/portfolios/5/items": paged([*objects("project", 1), *objects("portfolio", 6), *objects("goal", 7)]),
    }
    with ScriptedApi(lists) as api:
        run = run_tap(
            api.settings(emit_activate_version_messages=True),
            catalog=only(catalog, ["portfolios", "portfolio_items"]),
        )
    assert run.code == 0, run.stderr
    assert gids(run, "portfolios") == ["5"]
    assert [(each["portfolio_gid"], each["gid"]) for each in run.records("portfolio_items")] == [("5", "1"), ("5", "6")]
    assert activated(run) == set()
    assert run.warnings == [
        f"Workspace 1, portfolios: Asana answered {status}: owner: missing. Asking for the user's own.",
        "Workspace 1, portfolio_items: it has 1 object of type 'goal', which no stream takes.",
    ]


def test_an_item_of_two_portfolios_is_a_row_of_each_and_comes_once_in_each(
    catalog: dict[str, Any], run_tap: Callable[..., Run]
) -> None:
    lists = {
        PORTFOLIOS: paged(objects("portfolio", 5, 6)),
        "/portfolios/5/items": [page(objects("project", 1, 2), "a"), page(objects("project", 2, 3))],
        "/portfolios/6/items": paged(objects("project", 2)),
    }
    with ScriptedApi(lists) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["portfolio_items"]))
    rows = [(each["workspace_gid"], each["portfolio_gid"], each["gid"]) for each in run.records("portfolio_items")]
    assert sorted(rows) == [("1", "5", "1"), ("1", "5", "2"), ("1", "5", "3"), ("1", "6", "2")]


def test_a_line_break_within_an_object_does_not_split_it(catalog: dict[str, Any], run_tap: Callable[..., Run]) -> None:
    body = b'{"data": [\n {\n  "gid": "1",\n  "resource_type": "user",\n  "name": "a\\nb\xe2\x80\xa8c"\n }\n]\n}'
    with ScriptedApi({USERS: Answer(200, body)}) as api:
        run = run_tap(api.settings(), catalog=only(catalog, ["users"]))
    assert [record["name"] for record in run.records("users")] == ["a\nb\u2028c"]


@pytest.mark.soak
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_in_the_middle_of_a_list_deletes_nothing_and_the_next_one_has_all(
    signum: int, catalog: dict[str, Any], arguments: Callable[..., list[str]]
) -> None:
    selected = only(catalog, ["exports", "users", "tags"])
    waits, release = threading.Event(), threading.Event()

    def second_page(asked: Asked) -> Answer:
        if asked.query.get("offset"):
            waits.set()
            release.wait(30)
            return page(objects("user", 2))
        return page(objects("user", 1), "a")

    with ScriptedApi({USERS: second_page, TAGS: paged(objects("tag", 1))}) as api:
        settings = api.settings(emit_activate_version_messages=True)
        with subprocess.Popen(
            arguments(settings, catalog=selected), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as tap:
            assert waits.wait(30)
            tap.send_signal(signum)
            began = time.monotonic()
            out, err = tap.communicate(timeout=30)
            assert time.monotonic() - began < 10  # it does not wait for the answer
        release.set()
        ended = Run(tap.returncode, out, err.decode())
        assert ended.code == (-signum if signum == signal.SIGKILL else 128 + signum)
        assert "users" not in activated(ended)
        state = ended.of("STATE")[-1]["value"] if ended.of("STATE") else None
        done = subprocess.run(
            arguments(settings, catalog=selected, state=state), capture_output=True, check=False, timeout=60
        )
        after = Run(done.returncode, done.stdout, done.stderr.decode())
    assert after.code == 0, after.stderr
    assert gids(after, "users") == ["1", "2"]
    assert activated(after) == {"users", "tags"}
