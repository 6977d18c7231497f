"""Shows on stderr what a run does: lines of the log, or a live block on a terminal; and a table at the end.

It reads the report, which is filled anyway, in a thread of its own: nothing waits for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tap_asana_export import words
from tap_asana_export.report import ASKING, READING, WAITING_FOR_JOB, WAITING_FOR_SLOT, WAITING_TO_READ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from tap_asana_export.report import Part, Report

logger = logging.getLogger("tap_asana_export.progress")
"""It has a short name, so that the table's columns stand below those of other lines."""

PLAIN = ("NO_COLOR", "SINGER_SDK_LOG_CONFIG", "MELTANO_EXTRACTOR_NAME", "MELTANO_PROJECT_ROOT")
"""Variables that want plain lines: https://no-color.org, a log configuration of one's own, and Meltano."""

PHASES = {
    ASKING: "asking Asana",
    WAITING_FOR_SLOT: "waiting for the export slot",
    WAITING_FOR_JOB: "the job is {status}",
    WAITING_TO_READ: "waiting for its turn",
}
"""What people call a phase."""


class View(Protocol):
    """Shows a report while it is being filled.

    Attributes:
        say_every: seconds after which the log is to mention a long pause again.
    """

    say_every: float

    def __enter__(self) -> Self:
        """Begin to show it."""

    def __exit__(self, *_: object) -> None:
        """Show it no more."""

    def show_table(self) -> None:
        """Show the table of a run that has ended."""


def view_of(report: Report, say_every: float) -> View:
    """The way to show a report that suits where stderr leads to.

    Args:
        report: the report.
        say_every: seconds between two lines of the log about the same thing.
    """
    if is_for_people(os.environ):
        from tap_asana_export.output.terminal import Terminal  # noqa: PLC0415 - who has none does not wait for it

        return Terminal(report)
    return Lines(report, say_every)


def is_for_people(environment: Mapping[str, str]) -> bool:
    """Whether stderr is a terminal on which a block may stand and change."""
    if os.name == "nt" or any(environment.get(name) for name in PLAIN):
        return False
    try:
        return environment.get("TERM", "dumb") != "dumb" and sys.stderr.fileno() == STDERR and sys.stderr.isatty()
    except (AttributeError, OSError, ValueError):
        return False  # a program has put something else in its place


STDERR = 2


class Ticker:
    """Calls something now and then, in a thread of its own.

    Args:
        seconds: the time between two calls.
        call: what to call.
    """

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._seconds = seconds
        self._call = call
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, when the present call has ended."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._call()


class Lines:
    """Lines of the log: how far reading is, now and then, and the table at the end."""

    def __init__(self, report: Report, say_every: float) -> None:
        self.say_every = say_every
        self._report = report
        self._ticker = Ticker(say_every, self._say)

    def __enter__(self) -> Self:
        """Begin."""
        self._ticker.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        self._ticker.__exit__(*error)

    def _say(self) -> None:
        """Say how far reading is; changes, and what is waited for, are said by those who do it."""
        for part in [*self._report.parts]:
            if (phase := part.phase) and phase.name == READING:
                logger.info("%s: %s", part.name, describe(part))

    def show_table(self) -> None:
        """Log the table, a line each."""
        rows = [HEADINGS, *rows_of(self._report)] if self._report.parts else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            logger.info("%s", "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        for line in remarks(self._report):
            logger.info("%s", line)


def describe(part: Part) -> str:
    """Say what a part is doing: `310 MB of 620 MB, 22 MB/s, 14 s left; 84,000 tasks`."""
    phase = part.phase
    if phase is None:
        return part.outcome
    if phase.name != READING:
        words_for_it = PHASES[phase.name].format(status=part.job_status or "not told of")
        return f"{words_for_it}, {words.seconds(part.seconds(phase.name))}"
    seconds = phase.seconds_so_far
    found = words.counts(part.objects)
    if part.pages is not None:
        return f"{found}, {words.count(part.pages, 'page')}"
    rate = part.bytes / seconds if seconds else 0
    if not part.bytes or not rate:
        return f"reading, {words.seconds(seconds)}" + (f"; {found}" if part.objects else "")
    total = f" of {words.size(part.total_bytes)}" if part.total_bytes else ""
    left = f", {words.seconds((part.total_bytes - part.bytes) / rate)} left" if part.total_bytes else ""
    return f"{words.size(part.bytes)}{total}, {words.size(rate)}/s{left}; {found}"


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────


class Row(NamedTuple):
    """A row of the table: a part, what became of it, how long each phase took, and what it brought."""

    part: str
    outcome: str
    asked: str
    waited: str
    read: str
    written: str
    size: str
    records: str


HEADINGS = Row("part", "outcome", "asked", "waited", "read", "of it written", "size", "records")


def rows_of(report: Report) -> Iterator[Row]:
    """The rows of the table, a part each."""
    for part in report.parts:
        yield Row(
            part.name,
            part.outcome,
            words.seconds(part.seconds(ASKING)),
            words.seconds(part.seconds(WAITING_FOR_SLOT, WAITING_FOR_JOB, WAITING_TO_READ)),
            words.seconds(part.seconds(READING)),
            words.seconds(part.writing_seconds),
            words.size(part.bytes) if part.bytes else "",
            words.records(part.records),
        )


def remarks(report: Report) -> Iterator[str]:
    """What stands below the table."""
    retries = sum(each.retries for each in report.requests.values())
    requests = ", ".join(f"{name} {each.count:,}" for name, each in sorted(report.requests.items()))
    if requests:
        yield f"Requests: {requests}{f'; {retries:,} of them again, after a failure' if retries else ''}"
    for part in report.parts:
        if part.deletions:
            yield f"{part.name}: {words.count(part.deletions, 'deletion')}"
        if part.gap:
            yield f"{part.name}: {part.gap}, so an export of all objects is made, once a day at the most"
        for stream, names in part.unknown_fields.items():
            yield f"{part.name}: fields that the schema of {stream} does not know: {', '.join(names)}"
    if len(report.failures) > 1:  # a single one is the last line of the log anyway
        for failure in report.failures:
            yield f"Failed: {failure.what} What to do: {failure.to_do}"
    ended = f"The run {OUTCOMES[report.outcome]} after {words.seconds(report.seconds or 0)}"
    brought = f": {words.count(sum(report.records.values()), 'record')}, {words.size(report.bytes)}"
    yield ended + brought if report.parts else ended


OUTCOMES = {
    "succeeded": "succeeded",
    "failed": "failed",
    "deferred": "is deferred to the next one",
    "ended": "was ended by a signal",
    "unfinished": "is unfinished",
}
"""What people call the end of a run."""
