"""The tap's errors.

TapError
├── SettingError       a setting, catalog or state that cannot be used
├── AnswerError        Asana answered a request with an error
│   ├── GrantError         it gives no access token for the settings of OAuth
│   └── ExpiredTokenError  it takes the sync token of a workspace's events no more
├── UnreachableError   Asana did not answer, or answered "not now" to every try
├── UnreadableError    an answer of Asana's is not what the tap asked for
├── SlotError          no export slot came free
├── JobError           the export job reports a status that Asana does not document
│   └── FailedJobError    it failed
├── WaitError          the export job took longer than `wait_timeout`
├── DownloadError      the export file could not be read to its end
│   ├── DamagedError      its content is damaged
│   ├── GoneError         storage does not have it
│   └── ChangedError      storage has another one than when the download began
├── ExportError        a second export brought no file either
├── LineError          a line of the export file is not an Asana object
├── ListError          a list of Asana's, or a workspace's activity, cannot be read
├── FileError          a line of a file in `export_files` is not an Asana object
├── MapError           an expression of stream_maps cannot be evaluated for an object
├── UnknownFieldError  Asana sends a field that is not in the schema, and unknown_fields is `fail`
├── BatchError         a batch file cannot be written
│   └── UnfitError         a value does not fit its column of a Parquet file
├── UnexpectedError    a fault of the tap ended an export
├── SomeFailedError    some of several exports failed
└── OutputError        stdout takes no more messages

Each error takes facts and makes one line of them: what happened, where, and what to do.
No error contains a token or a signed URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from tap_asana_export.redaction import redact_line

if TYPE_CHECKING:
    from collections.abc import Mapping


TOO_MANY_REQUESTS = 429


class TapError(Exception):
    """An error that ends the run with its message as one line on stderr, exit code 1.

    Args:
        what: what happened, and where. Secrets and line breaks, which may come from a server's answer, are removed.
        to_do: what to do about it; None: `what` says it, or it is `TO_DO`.

    Attributes:
        what: as given, without secrets.
        to_do: as given, or `TO_DO`.
    """

    TO_DO: ClassVar[str] = "Run again; if it repeats, see docs/troubleshooting.md."
    """What to do about an error whose text does not say it apart."""

    def __init__(self, what: str, to_do: str | None = None) -> None:
        self.what = redact_line(what)
        self.to_do = self.TO_DO if to_do is None else redact_line(to_do)
        super().__init__(f"{self.what} {self.to_do}" if to_do else self.what)


class SettingError(TapError):
    """A setting, a catalog or a state file that cannot be used."""

    TO_DO = "Correct what it names, then run again."


class AnswerError(TapError):
    """Asana answered a request with an error.

    Args:
        request: method and path, such as `POST /exports/resource`.
        status: HTTP status.
        message: the message in Asana's answer.
        retry_after: seconds to wait, from the header `Retry-After`; None without it.
    """

    # By status, or by status and request: https://developers.asana.com/docs/errors; 403: createResourceExport
    REMEDIES: ClassVar[dict[int | tuple[int, str], str]] = {
        400: "Check the settings workspaces, filters and start_date.",
        401: "The token is wrong, expired or revoked: set access_token, or the settings of OAuth, anew.",
        402: "Exports need an Enterprise+ plan or the Compliance Management add-on.",
        403: (
            "Either another export of this workspace is in progress (Asana runs one at a time), or the token "
            "may not export: it must belong to a service account of an Enterprise+ organization."
        ),
        404: "Asana does not know it, or the token cannot see it: check the settings workspaces and graph_parents.",
        (403, "GET /jobs"): "The job is not one of this token's: check the setting job_gids.",
        (404, "GET /jobs"): (
            "Asana does not know the job, or it is another token's: check the setting job_gids, or begin without the "
            "job in the state."
        ),
        (403, "POST /exports/graph"): (
            "The token may not export this: its user must see it, in an Enterprise or Enterprise+ organization."
        ),
        429: "The token has as many requests or jobs as Asana lets it: run again later.",
        451: "Asana refuses this network address for legal reasons: run from another network.",
    }

    def __init__(self, request: str, status: int, message: str, retry_after: float | None = None) -> None:
        self.request = request
        self.status = status
        self.message = message
        self.retry_after = retry_after
        usual = self.REMEDIES.get(status, "See https://developers.asana.com/docs/errors.")
        remedy = self.REMEDIES.get((status, re.sub(r"(?<=^GET /jobs).*", "", request)), usual)
        super().__init__(f"{request}: Asana answered {status}: {message}.", remedy)


class GrantError(AnswerError):
    """Asana gives no access token for the settings of OAuth.

    Its `status` is always 401, so that no caller takes Asana's answer for one about an export or a job.
    """

    def __init__(self, request: str, status: int, message: str) -> None:
        TapError.__init__(
            self,
            f"{request}: Asana answered {status}: {message}.",
            "Check the settings client_id, client_secret and refresh_token; if they are right, the app's access was "
            "revoked: authorize it anew, and set the refresh_token that this brings.",
        )
        self.request = request
        self.status = 401
        self.message = message
        self.retry_after = None


class ExpiredTokenError(AnswerError):
    """Asana takes the sync token of a workspace's events no more, or there was none.

    Args:
        request: method and path.
        message: the message in Asana's answer.
        sync: the token for the events from now on.
    """

    def __init__(self, request: str, message: str, sync: str) -> None:
        super().__init__(request, 412, message)
        self.sync = sync


class UnreachableError(TapError):
    """Asana did not answer, or answered 429 or 5xx to every try.

    Args:
        request: method and path.
        cause: what happened instead of an answer.
        remedy: what the user should check.
        may_pass: whether another try may succeed.
    """

    REMEDY = "Check the network and https://status.asana.com, then run again: a running job is kept in the state."

    def __init__(self, request: str, cause: str, remedy: str = REMEDY, *, may_pass: bool = True) -> None:
        self.cause = cause
        self.may_pass = may_pass
        super().__init__(f"{request}: {cause}.", remedy)


class UnreadableError(TapError):
    """A successful answer of Asana's does not contain what the tap asked for."""

    def __init__(self, request: str, cause: str) -> None:
        super().__init__(
            f"{request}: the answer cannot be used: {cause}.",
            "Something between the tap and Asana may have answered: check the network, its proxies and the setting "
            "api_url, then run again.",
        )


class SlotError(TapError):
    """No export could be started within `busy_timeout`, as no slot came free.

    Args:
        root: the workspace or graph.
        waited: seconds.
        refusal: Asana's last answer.
        is_busy: whether the token certainly may export, so that only the slot can be the reason.
        holder: who holds the slot, as a sentence; None: nobody tells.
    """

    def __init__(
        self, root: object, waited: float, refusal: AnswerError, *, is_busy: bool, holder: str | None = None
    ) -> None:
        self.is_busy = is_busy
        if refusal.status == TOO_MANY_REQUESTS:
            cause = "Asana runs five jobs of a token at a time, and others hold them: wait or raise busy_timeout."
        elif holder:
            cause = (
                f"{holder} Wait for its end or raise busy_timeout. If it has ended, the token may not export: use a "
                "service account's of an Enterprise+ organization."
            )
        else:
            cause = (
                "Either another export, perhaps one of ours that lost its run, holds the workspace's one slot: "
                "wait or raise busy_timeout. Or the token may not export: use a service account's of an "
                "Enterprise+ organization."
            )
        super().__init__(
            f"{root}: Asana refuses an export since {waited:.0f} s ({refusal.status}: {refusal.message}).", cause
        )


class JobError(TapError):
    """The export job reports a status that Asana does not document."""

    def __init__(self, root: object, job_gid: str, status: str) -> None:
        self.status = status
        super().__init__(
            f"{root}: export job {job_gid} is '{status}'. Asana tells no reason.",
            "Run again; if it repeats, ask Asana's support with the job's gid.",
        )


class FailedJobError(JobError):
    """The export job failed."""


class ExportError(TapError):
    """A second export brought no file either."""

    def __init__(self, root: object, cause: str) -> None:
        super().__init__(f"{root}: no export came through. The last cause: {cause.removeprefix(f'{root}: ')}")


class WaitError(TapError):
    """The export job took longer than `wait_timeout`."""

    def __init__(self, root: object, job_gid: str, status: str, waited: float) -> None:
        super().__init__(
            f"{root}: export job {job_gid} is still '{status}' after {waited:.0f} s.",
            "The state keeps the job and the next run goes on with it; raise wait_timeout to wait longer.",
        )


class DownloadError(TapError):
    """The export file could not be read to its end.

    Args:
        cause: what happened, without the file's URL.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"The export file could not be read: {cause}.", "Run again.")


class DamagedError(DownloadError):
    """The content of the file is damaged.

    What came before the damage may be wrong too, as gzip's checksum comes last.
    """


class OtherFileError(DownloadError):
    """What came is no export file at all, such as the page of a proxy: the next time it may be the file."""


class GoneError(DownloadError):
    """Storage does not have the file (any more): Asana keeps it for 30 days."""


class ChangedError(DownloadError):
    """Storage has another file now than when the download began."""


class LineError(TapError):
    """The export file breaks at a line, or the line is not an Asana object.

    Args:
        line: number of the first line that could not be read, from 1.
        is_of_file: whether the file itself is damaged; False if only its download failed.
    """

    def __init__(self, root: object, job_gid: str, line: int, cause: str, *, is_of_file: bool) -> None:
        self.line = line
        self.is_of_file = is_of_file
        again = "If this repeats, another export is asked for." if is_of_file else "The same job is gone on with."
        super().__init__(
            f"{root}: the file of export job {job_gid} breaks at line {line}: {cause}. Bookmarks stay where they were.",
            f"Run again. {again}",
        )


class ListError(TapError):
    """A list of Asana's, or a workspace's activity, cannot be read. The others go on, and nothing is deleted for it.

    Args:
        root: the list, or the activity.
        cause: what ended it.
    """

    REMEDIES: ClassVar[dict[int, str]] = {
        400: "Run again; if it repeats, deselect the stream: the others come without it.",
        402: "The organization's plan has no such objects: deselect the stream.",
        403: "The token may not read it: give the service account or app the scope, or deselect the stream.",
        404: "Asana does not know it, or the token cannot see it: check the setting workspaces.",
    }

    def __init__(self, root: object, cause: TapError) -> None:
        what, to_do = cause.what, cause.to_do if str(cause) != cause.what else None
        if isinstance(cause, AnswerError):
            to_do = self.REMEDIES.get(cause.status, to_do)
        elif isinstance(cause, DamagedError):
            what = f"the answer has an object that cannot be used: {cause.cause}."
            to_do = "Run again; if it repeats, deselect the stream and ask Asana's support."
        super().__init__(what if what.startswith(str(root)) else f"{root}: {what}", to_do)


class FileError(TapError):
    """A file in the setting `export_files` breaks at a line, or the line is not an Asana object.

    Args:
        line: number of the first line that could not be read, from 1.
    """

    def __init__(self, url: str, line: int, cause: str) -> None:
        super().__init__(
            f"File {url} breaks at line {line}: {cause}. What came before may be out.",
            "Get the file once more, then run again.",
        )


class MapError(TapError):
    """An expression of the setting stream_maps cannot be evaluated for an object."""

    def __init__(self, origin: str, stream: str, keys: str, name: str, reason: str) -> None:
        super().__init__(
            f"{origin}: stream {stream}: the expression for {name} in stream_maps cannot be evaluated for the object "
            f"with {keys} ({reason}). Bookmarks stay where they were.",
            "Any value may be null: correct the expression, for instance with `… if … else None`, then run again.",
        )


class UnknownFieldError(TapError):
    """Asana sends a field that the schema does not know, and the setting unknown_fields is `fail`."""

    def __init__(self, origin: str, stream: str, name: str) -> None:
        super().__init__(
            f"{origin}: stream {stream}: Asana sends the field '{name}', which the schema does not know, and "
            "unknown_fields is fail. Bookmarks stay where they were.",
            "Use a newer version of the tap, or set unknown_fields to keep or warn, then run again.",
        )


class BatchError(TapError):
    """A batch file cannot be written."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(
            f"The batch file {path} cannot be written ({cause}). No file was announced that is not complete.",
            "See to the place that batch_config names, then run again.",
        )


class UnfitError(BatchError):
    """A value does not fit its column of a Parquet file.

    Args:
        stream: the record's stream.
        name: name of the property.
        gids: the record's properties that are gids.
        kind: type of the value.
        column: type of the column: a type or format of JSON Schema.
    """

    @staticmethod
    def text_of(name: str) -> str:
        """Return a stream map's expression that turns a property of any type into text, and leaves null."""
        return f"str(record.get('{name}')) if record.get('{name}') != None else None"

    def __init__(self, stream: str, name: str, gids: Mapping[str, Any], kind: str, column: str) -> None:
        where = ", ".join(f"{each} {gid}" for each, gid in gids.items())
        TapError.__init__(
            self,
            f"Stream {stream}: the property {name} of the record with {where} is {kind} that its Parquet column, "
            f"{column}, cannot hold as it is. It is not rounded, and no file was announced that is not complete.",
            "To have the record, set batch_config.encoding.format to jsonl, or make the column text from now on with "
            f'the setting stream_maps: {{"{stream}": {{"{name}": "{self.text_of(name)}"}}}}; then run again.',
        )


class SomeFailedError(TapError):
    """Some of several exports and lists failed.

    Args:
        failed: the errors by workspace, graph or list.
        count: number of all exports and lists.
        what: what these are.
    """

    def __init__(self, failed: Mapping[Any, TapError], count: int, what: str = "exports") -> None:
        self.failed = failed
        others = f"The other {count - len(failed)} came through." if len(failed) < count else ""
        causes = (
            str(error) if str(error).startswith(str(root)) else f"{root}: {error}" for root, error in failed.items()
        )
        super().__init__(" ".join([f"{len(failed)} of {count} {what} failed.", *causes, others]).strip())


class UnexpectedError(TapError):
    """A fault of the tap ended an export.

    Args:
        root: the workspace or graph.
        error: the exception. Its text is not shown, as it may contain a secret.
    """

    def __init__(self, root: object, error: BaseException) -> None:
        super().__init__(
            f"{root}: {type(error).__name__} in {_place(error)}: the tap has a fault here, or met what it does not "
            "know. Bookmarks stay where they were.",
            "Set the log level to DEBUG to see more, and report it.",
        )


def _place(error: BaseException) -> str:
    """Return module and line where an exception was raised."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}" if frame else "the tap"


class OutputError(TapError):
    """The target takes no more messages, or the disk is full."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"Cannot write to stdout ({cause}).", "See to what takes it, the target or the disk, then run again."
        )
