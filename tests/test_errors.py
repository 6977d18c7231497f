# ruff: noqa: E501 - a sentence stands whole in one line, as it is searched for
"""Every class of errors.py, with facts, and the sentence that it makes of them."""

from __future__ import annotations

import pytest

from tap_asana_export import errors
from tap_asana_export.errors import (
    AnswerError,
    BatchError,
    ChangedError,
    DamagedError,
    DownloadError,
    ExpiredTokenError,
    ExportError,
    FailedJobError,
    FileError,
    GoneError,
    GrantError,
    JobError,
    LineError,
    ListError,
    MapError,
    OtherFileError,
    OutputError,
    SettingError,
    SlotError,
    SomeFailedError,
    TapError,
    UnexpectedError,
    UnfitError,
    UnknownFieldError,
    UnreachableError,
    UnreadableError,
    WaitError,
)

ROOT = "Workspace 1"
BUSY = AnswerError("POST /exports/resource", 403, "An export is in progress", None)
MANY = AnswerError("POST /exports/resource", 429, "Too many", None)

SENTENCES: list[tuple[TapError, str]] = [
    (
        AnswerError("GET /jobs/9", 500, "Oops"),
        "GET /jobs/9: Asana answered 500: Oops. See https://developers.asana.com/docs/errors.",
    ),
    (
        AnswerError("POST /exports/resource", 400, "bad filters"),
        "POST /exports/resource: Asana answered 400: bad filters. Check the settings workspaces, filters and start_date.",
    ),
    (
        AnswerError("GET /workspaces", 401, "Not Authorized"),
        "GET /workspaces: Asana answered 401: Not Authorized. The token is wrong, expired or revoked: set access_token, or the settings of OAuth, anew.",
    ),
    (
        AnswerError("POST /exports/resource", 402, "Payment Required"),
        "POST /exports/resource: Asana answered 402: Payment Required. Exports need an Enterprise+ plan or the Compliance Management add-on.",
    ),
    (
        AnswerError("POST /exports/resource", 403, "Access denied"),
        "POST /exports/resource: Asana answered 403: Access denied. Either another export of this workspace is in progress (Asana runs one at a time), or the token may not export: it must belong to a service account of an Enterprise+ organization.",
    ),
    (
        AnswerError("GET /workspaces/1", 404, "Unknown object: 1"),
        "GET /workspaces/1: Asana answered 404: Unknown object: 1. Asana does not know it, or the token cannot see it: check the settings workspaces and graph_parents.",
    ),
    (
        AnswerError("GET /jobs/9", 403, "Forbidden"),
        "GET /jobs/9: Asana answered 403: Forbidden. The job is not one of this token's: check the setting job_gids.",
    ),
    (
        AnswerError("GET /jobs/9", 404, "Unknown object: 9"),
        "GET /jobs/9: Asana answered 404: Unknown object: 9. Asana does not know the job, or it is another token's: check the setting job_gids, or begin without the job in the state.",
    ),
    (
        AnswerError("POST /exports/graph", 403, "Access denied"),
        "POST /exports/graph: Asana answered 403: Access denied. The token may not export this: its user must see it, in an Enterprise or Enterprise+ organization.",
    ),
    (
        AnswerError("GET /workspaces", 429, "Too many"),
        "GET /workspaces: Asana answered 429: Too many. The token has as many requests or jobs as Asana lets it: run again later.",
    ),
    (
        AnswerError("GET /workspaces", 451, "Unavailable"),
        "GET /workspaces: Asana answered 451: Unavailable. Asana refuses this network address for legal reasons: run from another network.",
    ),
    (
        GrantError("POST /oauth_token", 400, "invalid_grant"),
        "POST /oauth_token: Asana answered 400: invalid_grant. Check the settings client_id, client_secret and refresh_token; if they are right, the app's access was revoked: authorize it anew, and set the refresh_token that this brings.",
    ),
    (
        UnreachableError("GET /jobs/9", "no answer (ConnectionError)"),
        "GET /jobs/9: no answer (ConnectionError). Check the network and https://status.asana.com, then run again: a running job is kept in the state.",
    ),
    (
        UnreachableError("GET /jobs/9", "the proxy is none", "Check the proxy.", may_pass=False),
        "GET /jobs/9: the proxy is none. Check the proxy.",
    ),
    (
        UnreadableError("GET /jobs/9", "it is no JSON"),
        "GET /jobs/9: the answer cannot be used: it is no JSON. Something between the tap and Asana may have answered: check the network, its proxies and the setting api_url, then run again.",
    ),
    (
        SlotError(ROOT, 10.4, BUSY, is_busy=True),
        "Workspace 1: Asana refuses an export since 10 s (403: An export is in progress). Either another export, perhaps one of ours that lost its run, holds the workspace's one slot: wait or raise busy_timeout. Or the token may not export: use a service account's of an Enterprise+ organization.",
    ),
    (
        SlotError(ROOT, 10.4, BUSY, is_busy=True, holder="Anna started an export at 10:00, says the audit log."),
        "Workspace 1: Asana refuses an export since 10 s (403: An export is in progress). Anna started an export at 10:00, says the audit log. Wait for its end or raise busy_timeout. If it has ended, the token may not export: use a service account's of an Enterprise+ organization.",
    ),
    (
        SlotError(ROOT, 10.4, MANY, is_busy=True),
        "Workspace 1: Asana refuses an export since 10 s (429: Too many). Asana runs five jobs of a token at a time, and others hold them: wait or raise busy_timeout.",
    ),
    (
        JobError(ROOT, "9", "archived"),
        "Workspace 1: export job 9 is 'archived'. Asana tells no reason. Run again; if it repeats, ask Asana's support with the job's gid.",
    ),
    (
        FailedJobError(ROOT, "9", "failed"),
        "Workspace 1: export job 9 is 'failed'. Asana tells no reason. Run again; if it repeats, ask Asana's support with the job's gid.",
    ),
    (
        WaitError(ROOT, "9", "in_progress", 20.0),
        "Workspace 1: export job 9 is still 'in_progress' after 20 s. The state keeps the job and the next run goes on with it; raise wait_timeout to wait longer.",
    ),
    (
        ExportError(ROOT, str(FailedJobError(ROOT, "9", "failed"))),
        "Workspace 1: no export came through. The last cause: export job 9 is 'failed'. Asana tells no reason. Run again; if it repeats, ask Asana's support with the job's gid.",
    ),
    (
        DownloadError("the gzip data ends too early"),
        "The export file could not be read: the gzip data ends too early. Run again.",
    ),
    (
        DamagedError("the gzip data is damaged"),
        "The export file could not be read: the gzip data is damaged. Run again.",
    ),
    (
        OtherFileError("it is neither gzip nor JSON but begins with b'<html>'"),
        "The export file could not be read: it is neither gzip nor JSON but begins with b'<html>'. Run again.",
    ),
    (
        GoneError("storage answered 404 Not Found"),
        "The export file could not be read: storage answered 404 Not Found. Run again.",
    ),
    (
        ChangedError("storage has another file now"),
        "The export file could not be read: storage has another file now. Run again.",
    ),
    (
        LineError(ROOT, "9", 3, "it is not UTF-8", is_of_file=True),
        "Workspace 1: the file of export job 9 breaks at line 3: it is not UTF-8. Bookmarks stay where they were. Run again. If this repeats, another export is asked for.",
    ),
    (
        LineError(ROOT, "9", 3, "the connection to storage broke", is_of_file=False),
        "Workspace 1: the file of export job 9 breaks at line 3: the connection to storage broke. Bookmarks stay where they were. Run again. The same job is gone on with.",
    ),
    (
        ListError("Workspace 1, goals", AnswerError("GET /goals", 402, "Payment Required")),
        "Workspace 1, goals: GET /goals: Asana answered 402: Payment Required. The organization's plan has no such objects: deselect the stream.",
    ),
    (
        ListError("Workspace 1, goals", UnreachableError("GET /goals", "Asana answered 504 Gateway Timeout")),
        "Workspace 1, goals: GET /goals: Asana answered 504 Gateway Timeout. Check the network and https://status.asana.com, then run again: a running job is kept in the state.",
    ),
    (
        ExpiredTokenError("GET /workspaces/1/events", "Sync token invalid or too old", "a"),
        "GET /workspaces/1/events: Asana answered 412: Sync token invalid or too old. See https://developers.asana.com/docs/errors.",
    ),
    (
        FileError("exports/all.gz", 3, "it is not UTF-8"),
        "File exports/all.gz breaks at line 3: it is not UTF-8. What came before may be out. Get the file once more, then run again.",
    ),
    (
        MapError(ROOT, "tasks", "gid 7", "size", "TypeError: no"),
        "Workspace 1: stream tasks: the expression for size in stream_maps cannot be evaluated for the object with gid 7 (TypeError: no). Bookmarks stay where they were. Any value may be null: correct the expression, for instance with `… if … else None`, then run again.",
    ),
    (
        UnknownFieldError(ROOT, "tasks", "new"),
        "Workspace 1: stream tasks: Asana sends the field 'new', which the schema does not know, and unknown_fields is fail. Bookmarks stay where they were. Use a newer version of the tap, or set unknown_fields to keep or warn, then run again.",
    ),
    (
        BatchError("/out/1.jsonl", "No space left on device"),
        "The batch file /out/1.jsonl cannot be written (No space left on device). No file was announced that is not complete. See to the place that batch_config names, then run again.",
    ),
    (
        UnfitError("tasks", "num_likes", {"gid": "7"}, "a number", "integer"),
        'Stream tasks: the property num_likes of the record with gid 7 is a number that its Parquet column, integer, cannot hold as it is. It is not rounded, and no file was announced that is not complete. To have the record, set batch_config.encoding.format to jsonl, or make the column text from now on with the setting stream_maps: {"tasks": {"num_likes": "str(record.get(\'num_likes\')) if record.get(\'num_likes\') != None else None"}}; then run again.',
    ),
    (SettingError("Settings: overlap must be >= 0."), "Settings: overlap must be >= 0."),
    (
        SomeFailedError({ROOT: WaitError(ROOT, "9", "in_progress", 20.0)}, 3),
        "1 of 3 exports failed. Workspace 1: export job 9 is still 'in_progress' after 20 s. The state keeps the job and the next run goes on with it; raise wait_timeout to wait longer. The other 2 came through.",
    ),
    (
        UnexpectedError(ROOT, KeyError("x")),
        "Workspace 1: KeyError in the tap: the tap has a fault here, or met what it does not know. Bookmarks stay where they were. Set the log level to DEBUG to see more, and report it.",
    ),
    (
        OutputError("Broken pipe"),
        "Cannot write to stdout (Broken pipe). See to what takes it, the target or the disk, then run again.",
    ),
]
"""Each error, and its sentence."""


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=[type(error).__name__ for error, _ in SENTENCES])
def test_an_error_makes_one_sentence_of_its_facts(error: TapError, sentence: str) -> None:
    assert str(error) == sentence


def test_every_error_has_its_sentence_here() -> None:
    classes = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, TapError)}
    assert {type(error) for error, _ in SENTENCES} == classes - {TapError}
