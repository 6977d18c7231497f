"""One run: which exports it brings, side by side, and what becomes of one that fails."""

from __future__ import annotations

import contextlib
import copy
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from tap_asana_export.activity import Activity, ActivityRoot
from tap_asana_export.asana import Asana, Grant, ask_now
from tap_asana_export.bookmarks import known_contexts
from tap_asana_export.errors import (
    OutputError,
    SettingError,
    SlotError,
    SomeFailedError,
    TapError,
    UnexpectedError,
    WaitError,
)
from tap_asana_export.export import export
from tap_asana_export.files import read_files
from tap_asana_export.fingerprint import fingerprint
from tap_asana_export.limits import USUAL
from tap_asana_export.lists import read_lists
from tap_asana_export.output.batch import read_batch_config
from tap_asana_export.output.checkpoint import Checkpoint, checkpoint_folder
from tap_asana_export.output.progress import view_of
from tap_asana_export.output.report_file import ReportFile
from tap_asana_export.records import is_passthrough, schema_messages
from tap_asana_export.redaction import without_credentials
from tap_asana_export.report import Asked, Report, WarningsHandler
from tap_asana_export.signals import Terminated
from tap_asana_export.sources import SOURCES, ExportRoot
from tap_asana_export.transfer import RunContext
from tap_asana_export.waiting import run_concurrently
from tap_asana_export.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from singer_sdk import Stream
    from singer_sdk.singerlib import SchemaMessage

    from tap_asana_export.limits import Limits
    from tap_asana_export.lists import ListRoot
    from tap_asana_export.output.messages import MessageWriter
    from tap_asana_export.report import Outcome
    from tap_asana_export.settings import Settings
    from tap_asana_export.transfer import SelectedStream
    from tap_asana_export.waiting import Waiting

Root: TypeAlias = "ExportRoot | ListRoot | ActivityRoot"
"""What a run brings side by side with others."""

logger = logging.getLogger(__name__)

OUTPUT_SETTINGS = ("stream_map", "flattening", "emit_activate_version_messages", "batch_config")
"""How the names of those settings begin that decide what records look like."""


def bring_all(
    settings: Settings,
    exports: Stream,
    selected: Sequence[SelectedStream],
    writer: MessageWriter,
    save_state: Callable[[], None],
    limits: Limits = USUAL,
) -> None:
    """Bring all exports of a run, from Asana or from files that were downloaded earlier.

    Args:
        settings: the tap's.
        exports: the stream of the exports' own records.
        selected: the other selected streams.
        writer: takes the messages.
        save_state: sends a STATE.
        limits: how much to take at a time.

    Raises:
        TapError: what ended the run, or its only export.
        SomeFailedError: some of several exports failed.
    """
    state = exports.tap_state
    report = Report(asked=asked_by(settings, selected), state_before=copy.deepcopy(dict(state)))
    batch, file = read_batch_config(settings, limits), ReportFile(settings["report"])

    def begin(say_every: float) -> RunContext:
        """Write the SCHEMA of every selected stream."""
        schemas = [message for each in selected for message in schema_messages(each.stream)]
        own_schemas = schema_messages(exports) if exports.selected else ()
        if mapped := [stream.name for _, stream in selected if not is_passthrough(stream)]:
            logger.info(
                "Stream maps or flattening make the records of %s, which takes several times as long.", listed(mapped)
            )
        for message in schemas:
            writer.write_message(message)
        return RunContext(
            settings,
            exports,
            selected,
            writer,
            save_state,
            output_fingerprint(schemas, settings),
            batch,
            {message.stream: message.schema for message in [*schemas, *own_schemas]},
            Checkpoint(checkpoint_folder(settings)),
            report,
            limits,
            say_every=say_every,
        )

    with reported(report, file, state, writer, limits) as say_every:
        if settings["export_files"]:
            read_files(begin(say_every))
        else:
            with connect(settings, writer.undisturbed) as asana:
                bring_from(asana, lambda: begin(say_every), settings, selected, report)


def bring_from(
    asana: Asana,
    begin: Callable[[], RunContext],
    settings: Settings,
    selected: Sequence[SelectedStream],
    report: Report,
) -> None:
    """Bring all exports, lists and activity of a run from Asana; raises as `bring_all` does.

    Args:
        asana: the API.
        begin: writes the SCHEMA of every selected stream, when it is known that there is something to bring.
        settings: the tap's.
        selected: the selected streams but `exports`.
        report: what the run tells of itself.
    """
    report.requests, report.announcements = asana.requests, asana.announcements
    roots = export_roots(asana, settings, selected)
    kinds = {each.source.kind for each in selected}
    exported = [root for root in roots if root.kind in kinds]
    warn_of_other_roots(settings, selected, roots)
    run = begin()
    for root in exported:
        report.part(root, root.kind, root.context)
    workspaces = [root for root in roots if not root.graph]
    works: dict[Root, Waiting[None]] = {root: export(run, asana, root) for root in exported}
    if "activity" in kinds:
        for root in workspaces:
            activity = Activity(run, asana, root, is_exported=root in works)
            if root in works:
                works[root] = activity.around(works[root])
            works[ActivityRoot(root)] = activity.read()
    works |= read_lists(run, asana, workspaces)
    bring_side_by_side(run, works, "exports and lists" if kinds & {"list", "activity"} else "exports")


def bring_side_by_side(run: RunContext, works: Mapping[Root, Waiting[None]], what: str) -> None:
    """Bring each export and list; one that fails does not keep the others from coming through.

    Args:
        run: what the works have in common.
        works: what there is to do for each.
        what: what these are, for the error.

    Raises:
        TapError: what ended the only one, or the target takes no more messages.
        SomeFailedError: some of several failed.
    """
    failed: dict[Root, TapError] = {}
    for root, ended in run_concurrently(works.items(), say_every=run.say_every):
        if ended is None:
            run.report.end_part(root, "succeeded")
            continue
        if isinstance(ended, OutputError):
            raise ended
        if run.settings["defer"] and can_be_deferred(ended):
            run.report.end_part(root, "deferred")
            logger.info("%s Deferred, as the setting defer wants it.", ended)
            continue
        error = ended if isinstance(ended, TapError) else UnexpectedError(root, ended)
        if error is not ended:
            logger.debug("%s", root, exc_info=ended)
        run.report.end_part(root, "failed", error)
        if len(works) == 1:
            raise error
        logger.error("%s failed, the others go on: %s", root, str(error).removeprefix(f"{root}: "))
        failed[root] = error
    if failed:
        raise SomeFailedError(failed, len(works), what)


@contextlib.contextmanager
def reported(
    report: Report, file: ReportFile, state: Mapping[str, Any], writer: MessageWriter, limits: Limits
) -> Iterator[float]:
    """Show a report while a run fills it, and write it when the run has ended, however it did.

    Args:
        report: the report.
        file: its place.
        state: the run's state, which changes.
        writer: lets a signal wait while the report is written.
        limits: how often to say how far the run is.

    Yields:
        Seconds after which the log is to mention a long pause again.
    """
    view = view_of(report, limits.say_every)
    warnings = WarningsHandler(report)
    logging.getLogger("tap_asana_export").addHandler(warnings)
    outcome: Outcome = "succeeded"
    code = 0
    try:
        with view:
            yield view.say_every
        if any(part.outcome == "deferred" for part in report.parts):
            outcome = "deferred"
    except Terminated as ended:
        outcome, code, report.signal = "ended", 128 + ended.number, ended.signal
        raise
    except BaseException as error:
        outcome, code = "failed", 1
        if not isinstance(error, SomeFailedError):
            report.fail(error)
        raise
    finally:
        with writer.undisturbed():
            logging.getLogger("tap_asana_export").removeHandler(warnings)
            report.end(outcome, code, copy.deepcopy(dict(state)))
            file.write(report)
            view.show_table()


def asked_by(settings: Settings, selected: Iterable[SelectedStream]) -> Asked:
    """What settings and catalog ask for, as the report has it."""
    return Asked(
        [each.stream.name for each in selected],
        settings["workspaces"],
        settings["graph_parents"],
        settings["start_date"],
        settings["filters"],
        settings["full_export_interval"],
        [without_credentials(url) for url in settings["export_files"]],
    )


def can_be_deferred(error: Exception) -> bool:
    """Whether the next run can go on where this error ended an export: a job, or a slot, only needs more time."""
    return isinstance(error, WaitError) or (isinstance(error, SlotError) and error.is_busy)


def workspace_gids(asana: Asana, settings: Settings) -> list[str]:
    """The workspaces that the settings name, or else all that the token can see.

    Raises:
        SettingError: there are none.
    """
    gids: list[str] = settings["workspaces"]
    gids = gids or [each.gid for each in ask_now(asana.workspaces(), settings["wait_timeout"])]
    if not gids:
        raise SettingError(
            "The token sees no workspace: its user must be a member of one. Check that the token is the right one."
        )
    return gids


def export_roots(asana: Asana, settings: Settings, selected: Iterable[SelectedStream]) -> list[ExportRoot]:
    """The workspaces and graph parents whose exports and lists the selected streams need.

    Raises:
        SettingError: there are none, or none for what the settings name.
    """
    parents = settings["graph_parents"]
    kinds = {each.source.kind for each in selected}
    if parents and "graph" not in kinds:
        raise SettingError("The setting graph_parents wants graphs, but the catalog selects no stream graph_….")
    if not parents and kinds <= {"graph"}:
        names = ", ".join(source.stream for source in SOURCES)
        needed = "set graph_parents, or select other streams" if kinds else f"select at least one of {names}"
        raise SettingError(f"The catalog selects nothing to export: {needed}.")
    if not parents and "graph" in kinds:
        logger.warning("The catalog selects graph streams, but graph_parents names nothing that they are of.")
    resources = [ExportRoot(gid) for gid in workspace_gids(asana, settings)] if kinds - {"graph"} else []
    roots = [*resources, *(ExportRoot(gid, graph=True) for gid in parents)]
    if unknown := settings["job_gids"].keys() - {each.gid for each in roots}:
        raise SettingError(
            f"The setting job_gids names {', '.join(sorted(unknown))}, which this run does not export: there "
            f"{'is' if len(roots) == 1 else 'are'} {', '.join(map(str, roots))}."
        )
    return roots


def warn_of_other_roots(settings: Settings, selected: Iterable[SelectedStream], roots: Iterable[ExportRoot]) -> None:
    """Say that no deletion is found while the state knows of workspaces or parents that this run does not export."""
    others = known_contexts(each.stream for each in selected) - {
        each for root in roots for each in root.context.items()
    }
    if others and settings["emit_activate_version_messages"]:
        logger.warning(
            "The state knows of %s too, which this run does not export. Targets delete whatever the workspace or "
            "parent, so what was deleted in Asana stays in the tables. Export all, or begin with a new state.",
            ", ".join(f"{name.removesuffix('_gid')} {gid}" for name, gid in sorted(others)),
        )


def output_fingerprint(schemas: Iterable[SchemaMessage], settings: Settings) -> str:
    """Tells what records look like: by their schemas, and by the settings that change them."""
    mapping = {name: value for name, value in settings.items() if name.startswith(OUTPUT_SETTINGS)}
    return fingerprint([[message.to_dict() for message in schemas], mapping])


@contextlib.contextmanager
def connect(
    settings: Settings,
    undisturbed: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    *,
    retries: int = 6,
) -> Iterator[Asana]:
    """Asana as the settings have it, or a sandbox that lives as long as the context.

    Args:
        settings: the tap's.
        undisturbed: as `Asana` has it.
        retries: how often to try a request again.

    Raises:
        SettingError: the sandbox does not know something in the setting `sandbox`, or cannot start with it.
    """
    with contextlib.ExitStack() as stack:
        grant = Grant(settings["client_id"] or "", settings["client_secret"] or "", settings["refresh_token"] or "")
        api_url, token = settings["api_url"], settings["access_token"] or grant
        if sandbox := settings["sandbox"]:
            from tap_asana_export.sandbox import Sandbox  # noqa: PLC0415 - only who plays in it pays for it

            options = sandbox if isinstance(sandbox, dict) else {}
            if unknown := options.keys() - Sandbox.settings().keys():
                names = ", ".join(sorted(Sandbox.settings()))
                raise SettingError(f"Settings: sandbox knows no '{', '.join(sorted(unknown))}', only {names}.")
            try:
                stand_in = stack.enter_context(Sandbox(**options))
            except (TypeError, ValueError, OSError) as error:
                raise SettingError(f"Settings: sandbox cannot be set up: {error}") from None
            api_url, token = stand_in.api_url, stand_in.access_token
        yield Asana(
            api_url,
            token,
            user_agent=settings["user_agent"],
            timeout=settings["request_timeout"],
            undisturbed=undisturbed,
            retries=retries,
            enable=settings["asana_enable"],
            disable=settings["asana_disable"],
        )
