"""The tap: its settings and its streams."""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import io
import itertools
import json
import logging
import os
import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.metrics import METRICS_LOGGER_NAME, Point
from singer_sdk.tap_base import CliTestOptionValue

from tap_asana_export import redaction
from tap_asana_export.access import check_access
from tap_asana_export.catalog import check_catalog, read_catalog
from tap_asana_export.limits import USUAL
from tap_asana_export.output.batch import COMPRESSIONS
from tap_asana_export.output.messages import MessageWriter
from tap_asana_export.output.progress import is_for_people
from tap_asana_export.records import schema_messages
from tap_asana_export.replication.state import check_state
from tap_asana_export.settings import check_settings, read_config, read_environment, read_json, read_settings
from tap_asana_export.signals import unchanged
from tap_asana_export.sources import SOURCES
from tap_asana_export.stream_maps import map_streams
from tap_asana_export.streams import Exports, ObjectStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_asana_export.limits import Limits

VERSION = importlib.metadata.version("tap-asana-export")

GID = th.StringType(pattern="^[0-9]+$")
TEN_YEARS = 10 * 365 * 86400
GIDS = th.CustomType({"type": ["array", "null"], "items": GID.type_dict, "uniqueItems": True})
CHANGES = th.ArrayType(th.StringType(pattern="^[A-Za-z0-9_.-]+$"))

# https://developers.asana.com/reference/createresourceexport
PEOPLE = ("commented_on_by.any", "created_by.any", "followers.any", "liked_by.any")
TIMES = ("created_at.after", "created_at.before", "modified_at.after", "modified_at.before")
FILTERS = {"tasks": ("assigned_by.any", "assignee.any", *PEOPLE), "messages": PEOPLE}
"""Names of Asana's filters by users, by stream."""


def filters_for(users: Iterable[str]) -> th.ArrayType[Any]:
    """Return the schema of one stream's filters."""
    of_users = (th.Property(name, th.ArrayType(GID)) for name in users)
    of_times = (th.Property(name, th.DateTimeType) for name in TIMES)
    return th.ArrayType(th.ObjectType(*of_users, *of_times, additional_properties=False))


SETTINGS = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="Access token",
        description="Token of a service account, or a personal access token. Needed unless OAuth or `sandbox` is used.",
    ),
    th.Property(
        "client_id",
        th.StringType,
        secret=True,
        title="Client ID",
        description="OAuth, instead of `access_token`: id of the app. Needs `client_secret` and `refresh_token` too.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        secret=True,
        title="Client secret",
        description="OAuth: secret of the app.",
    ),
    th.Property(
        "refresh_token",
        th.StringType,
        secret=True,
        title="Refresh token",
        description=(
            "OAuth: the refresh token that authorizing the app brought. The tap gets its access tokens with it."
        ),
    ),
    th.Property(
        "workspaces",
        GIDS,
        default=[],
        title="Workspaces",
        description="Gids of the workspaces to export. Default: all that the token can see.",
    ),
    th.Property(
        "graph_parents",
        GIDS,
        default=[],
        title="Graph parents",
        description=(
            "Gids of goals, teams, portfolios and projects. What hangs below each is exported too, into streams "
            "`graph_…`."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="The first export brings only tasks and messages that changed after this time. Default: all.",
    ),
    th.Property(
        "filters",
        th.ObjectType(
            *(th.Property(stream, filters_for(users)) for stream, users in FILTERS.items()),
            additional_properties=False,
        ),
        default={},
        title="Filters",
        description=(
            "By stream, an array of Asana's filter objects. What matches any of them is exported, once. Asana "
            "takes no filters for teams."
        ),
    ),
    th.Property(
        "full_export_interval",
        th.IntegerType(minimum=1, maximum=3650),
        title="Full export interval",
        description=(
            "Days after which tasks and messages are exported in full again. Only a full export finds all "
            "deletions and moves. Default: never."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION messages",
        description="After a full export, have the target delete the rows of what Asana does not have any more.",
    ),
    th.Property(
        "overlap",
        th.IntegerType(minimum=0, maximum=TEN_YEARS),
        default=60,
        title="Overlap",
        description="Seconds that an incremental export reaches back before the bookmark.",
    ),
    th.Property(
        "poll_interval",
        th.NumberType(exclusive_minimum=0, maximum=86400),
        default=30,
        title="Poll interval",
        description="Longest pause in seconds between two looks at a job. The first pauses are shorter.",
    ),
    th.Property(
        "wait_timeout",
        th.NumberType(minimum=0, maximum=TEN_YEARS),
        default=86400,
        title="Wait timeout",
        description=(
            "Longest wait for one job in seconds. Then the run ends, and the state keeps the job for the next run."
        ),
    ),
    th.Property(
        "defer",
        th.BooleanType,
        default=False,
        title="Defer",
        description=(
            "How a run ends when `wait_timeout` is over, or `busy_timeout` while another export runs: true with exit "
            "code 0, false with an error. The next run goes on with the job."
        ),
    ),
    th.Property(
        "busy_timeout",
        th.NumberType(minimum=0, maximum=TEN_YEARS),
        default=3600,
        title="Busy timeout",
        description=(
            "Longest wait for a free export slot in seconds. Asana runs one export of a workspace at a time, and "
            "five jobs of a token."
        ),
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0, maximum=86400),
        default=60,
        title="Request timeout",
        description="Seconds to wait for a connection, and for each part of an answer.",
    ),
    th.Property(
        "job_gids",
        th.CustomType(
            {"type": ["object", "null"], "additionalProperties": GID.type_dict, "propertyNames": GID.type_dict}
        ),
        default={},
        title="Job gids",
        description=(
            "By gid of a workspace or graph parent, the job to go on with instead of a new one. The log names "
            "every job."
        ),
    ),
    th.Property(
        "checkpoint",
        th.CustomType({"type": ["string", "boolean"]}),
        title="Checkpoint",
        description=(
            "Folder (path or URL) that keeps the gids of running jobs besides the state, for runs that are "
            "stopped before their target passes a state on; false: none. Default: a folder of the Meltano "
            "project, else of the user."
        ),
    ),
    th.Property(
        "report",
        th.StringType,
        title="Report",
        description=(
            "File (path or URL) for the report of each run, as JSON: what was asked, how long it took, what came, what "
            "failed and what to do. Default: the report stands in the log only."
        ),
    ),
    th.Property(
        "export_files",
        th.ArrayType(th.StringType),
        default=[],
        title="Export files",
        description=(
            "Paths or URLs of export files that were downloaded earlier. The tap reads them, and asks Asana for "
            "nothing."
        ),
    ),
    th.Property(
        "audit_log_event_types",
        th.ArrayType(th.StringType),
        default=[],
        title="Audit log event types",
        description=(
            "Types of event that the stream `audit_log_events` brings, such as `user_login_failed`. Default: all."
        ),
    ),
    th.Property(
        "unknown_fields",
        th.StringType(allowed_values=["warn", "keep", "fail"]),
        default="warn",
        title="Unknown fields",
        description=(
            "What becomes of fields that Asana sends and no schema knows: `warn` drops and names them, `keep` "
            "puts them into a column `additional_fields`, `fail` ends the export."
        ),
    ),
    th.Property(
        "api_url",
        th.URIType,
        default="https://app.asana.com/api/1.0",
        title="API URL",
        description="Base URL of Asana's API.",
    ),
    th.Property(
        "asana_enable",
        CHANGES,
        default=[],
        title="Asana enable",
        description="Names of announced changes of Asana's API to have early, for the header `Asana-Enable`.",
    ),
    th.Property(
        "asana_disable",
        CHANGES,
        default=[],
        title="Asana disable",
        description="Names of announced changes of Asana's API to have late, for the header `Asana-Disable`.",
    ),
    th.Property(
        "sandbox",
        th.CustomType({"type": ["boolean", "object"]}),
        default=False,
        title="Sandbox",
        description=(
            "true runs the tap against the built-in stand-in for Asana. An object sets the stand-in's size, seed "
            "and other options."
        ),
    ),
    th.Property(
        "user_agent",
        th.StringType,
        default=f"tap-asana-export/{VERSION}",
        title="User agent",
        description="How the tap names itself to Asana.",
    ),
)


class TapAsanaExport(Tap):
    """Singer tap for Asana's bulk exports, which bring a whole workspace in one file."""

    name = "tap-asana-export"
    config_jsonschema = SETTINGS.to_dict()
    message_writer_class = MessageWriter
    limits: ClassVar[Limits] = USUAL
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.BATCH,
    ]

    message_writer: MessageWriter

    def __init__(
        self,
        *,
        config: Any = None,
        catalog: Any = None,
        state: Any = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        setup_mapper: bool = True,
        **kwargs: Any,
    ) -> None:
        redaction.install()
        for name in (self.name, f"{self.name}.{Exports.name}", METRICS_LOGGER_NAME):
            logging.getLogger(name).addFilter(is_informative)
        schema = copy.deepcopy(self.config_jsonschema)
        self.append_builtin_config(schema)
        config = dict(config or {}) | (read_environment(schema) if parse_env_config else {})
        redaction.add_secret_settings(config)
        settings = read_settings(config, SETTINGS.to_dict(), schema)
        # Before the SDK's own validation, whose errors show the wrong value, even a token.
        check_settings(settings, schema, complete=validate_config)
        redaction.add_secret_settings(settings)
        with unchanged():
            super().__init__(
                config={name: value for name, value in settings.items() if value is not None},
                catalog=read_catalog(catalog),
                state=check_state(state, {Exports.name: Exports.name, **{each.stream: each.kind for each in SOURCES}}),
                validate_config=False,
                setup_mapper=False,
                **kwargs,
            )
        self.settings = settings
        check_catalog(self.input_catalog, self.streams)
        if setup_mapper:
            self.setup_mapper()

    def setup_mapper(self) -> None:
        """Apply stream maps and flattening to the selected streams.

        Raises:
            SettingError: a map cannot be used, or two streams would have the same name.
        """
        self.mapper = map_streams(self.settings, self.streams)

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Append the SDK's settings; batch files have more compressions than the SDK knows."""
        super().append_builtin_config(config_jsonschema)
        settings = config_jsonschema["properties"]
        settings["batch_config"] = copy.deepcopy(settings["batch_config"])
        encoding = settings["batch_config"]["properties"]["encoding"]["properties"]
        encoding["compression"]["enum"] = [*dict.fromkeys(itertools.chain(*COMPRESSIONS.values()))]

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the command line. It reads the files of catalog and state itself, so that errors name the file."""
        command = super().get_singer_command()
        for option in command.params:
            if option.name in {"catalog", "state"}:
                option.type = JsonFile(option.name)
            if option.name == "test" and isinstance(option, click.Option):
                option.help = TEST_HELP
        return command

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        """Read the files given with `--config`; settings in a later file replace those in an earlier one."""
        read = super().cb_config(ctx, param, tuple(each for each in value if each == "ENV"))
        for path in value:
            if path != "ENV":
                read.config |= read_config(path)
        return read

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """With `--test`, look whether an export could start, and write nothing; with `--test=schema`, write SCHEMAs."""
        if value == CliTestOptionValue.Disabled.value:
            return
        if value not in {CliTestOptionValue.All.value, CliTestOptionValue.Schema.value}:
            raise click.BadParameter(f"{value!r}; there are --test and --test=schema.", ctx, param)
        config = ctx.params.get("config")
        tap = cls(config=config and config.config, parse_env_config=bool(config and config.parse_env))
        with tap.message_writer.ending_on_signals(lambda: tap.state):
            if value == CliTestOptionValue.Schema.value:
                tap.write_all_schemas()
            else:
                check_access(tap.settings)
        ctx.exit()

    def write_all_schemas(self) -> None:
        """Write the SCHEMA messages of all streams, also of those that are not selected."""
        for stream in self.streams.values():
            stream.selected = True
        self.setup_mapper()
        for stream in self.streams.values():
            for message in schema_messages(stream):
                self.message_writer.write_message(message)

    @classmethod
    def print_about(cls, output_format: str | None = None) -> None:
        """Print what there is to know of the tap; as text with the descriptions of settings, which the SDK leaves out.

        Args:
            output_format: text, json or markdown.
        """
        if output_format not in {None, "text"}:
            super().print_about(output_format)
            return
        with contextlib.redirect_stdout(io.StringIO()) as about:
            super().print_about("text")
        schema = copy.deepcopy(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        click.echo(with_descriptions(about.getvalue(), schema["properties"]), nl=False)

    def run_discovery(self) -> str:
        """Write the catalog to stdout, and return its text."""
        text = self.catalog_json_text
        self.message_writer.write(f"{text}\n".encode())
        return text

    def discover_streams(self) -> list[Exports | ObjectStream]:
        """Return all streams, with `exports` as the parent of the others."""
        exports = Exports(self, self.settings, self.message_writer, self.limits)
        return [exports, *(ObjectStream(self, source) for source in SOURCES)]


TEST_HELP = (
    "Look at the token and the workspaces; start no export. --test=schema: write the SCHEMA messages of all streams."
)
"""What `--help` says of `--test`; the SDK's own text promises a record of each stream."""


def is_informative(record: logging.LogRecord) -> bool:
    """Whether a log record of the SDK's is worth a line; a metric is if something was counted."""
    point = record.args[0] if isinstance(record.args, tuple) and record.args else None
    if isinstance(point, Point):
        # The time of the stream `exports` is that of the run, which may have failed for any reason, or was only a test.
        # On a terminal no program reads metrics.
        return point.metric_type == "counter" and bool(point.value) and not is_for_people(os.environ)
    return not str(record.msg).startswith(UNINFORMATIVE)


UNINFORMATIVE = (
    "Added '%s' as child stream",
    "An unhandled error occurred while syncing",  # the last line of the log names the error
    "Beginning sync of",
    "Skipping deselected stream",
    "Skipping parse of env var settings",
)
"""Beginnings of log messages of the SDK's that tell the user nothing."""


def with_descriptions(about: str, settings: Mapping[str, Any]) -> str:
    """What `--about` tells as text, with the description of each setting.

    Args:
        about: as the SDK has it, with a line `  - Name: …` for each setting.
        settings: JSON Schema of each setting.
    """
    lines = []
    for line in about.splitlines():
        lines.append(line)
        name = line.removeprefix("  - Name: ")
        if name != line and (description := settings.get(name, {}).get("description")):
            lines.append(textwrap.fill(description, 100, initial_indent="    ", subsequent_indent="    "))
    return "\n".join(lines).rstrip("\n") + "\n"


class JsonFile(click.ParamType):  # type: ignore[type-arg]
    """The type of an option that names a JSON file; the SDK gets the content as an open file."""

    name = "file"

    def __init__(self, option: str) -> None:
        self.option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """Read the file.

        Raises:
            SettingError: the file cannot be read, or is not JSON.
        """
        return io.StringIO(json.dumps(read_json(value, self.option)))
