"""The tap: its settings, and which streams there are."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities

from tap_asana_export.output import MessageWriter
from tap_asana_export.settings import check_settings, read_settings
from tap_asana_export.signals import unchanged
from tap_asana_export.sources import SOURCES
from tap_asana_export.state import check_state
from tap_asana_export.streams import Exports, ObjectStream, check_catalog

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

VERSION = importlib.metadata.version("tap-asana-export")

GID = th.StringType(pattern="^[0-9]+$")
GIDS = th.CustomType({"type": ["array", "null"], "items": GID.type_dict, "uniqueItems": True})

# https://developers.asana.com/reference/createresourceexport
PEOPLE = ("commented_on_by.any", "created_by.any", "followers.any", "liked_by.any")
TIMES = ("created_at.after", "created_at.before", "modified_at.after", "modified_at.before")
FILTERS = {"tasks": ("assigned_by.any", "assignee.any", *PEOPLE), "messages": PEOPLE}
"""By stream, Asana's filters for users; https://developers.asana.com/reference/createresourceexport"""


def filters_for(users: Iterable[str]) -> th.ArrayType[Any]:
    """The setting of one stream's filters."""
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
        description="OAuth instead of `access_token`: id of the app. Goes with the next two.",
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
        description="OAuth: what authorizing the app brought. Access tokens are got with it, one after the other.",
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
        description="Gids of goals, teams, portfolios and projects: what hangs below each is exported too.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="The first incremental export asks for what changed after it. Default: everything.",
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
            "By stream, an array of Asana's filter objects: what matches at least one is exported, once. "
            "Asana takes no filters for teams."
        ),
    ),
    th.Property(
        "full_export_interval",
        th.IntegerType(minimum=1),
        title="Full export interval",
        description=(
            "Days after which an incremental stream is exported whole again, which finds deletions and moves. "
            "Default: never."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION messages",
        description="After a whole export, let the target delete what Asana does not have any more.",
    ),
    th.Property(
        "overlap",
        th.IntegerType(minimum=0),
        default=60,
        title="Overlap",
        description="Seconds that an incremental export reaches back behind the bookmark.",
    ),
    th.Property(
        "poll_interval",
        th.NumberType(exclusive_minimum=0),
        default=30,
        title="Poll interval",
        description="Longest pause in seconds between two looks at a job; the first ones are shorter.",
    ),
    th.Property(
        "wait_timeout",
        th.NumberType(minimum=0),
        default=86400,
        title="Wait timeout",
        description="Longest wait for one job in seconds. The job is kept in the state for the next run.",
    ),
    th.Property(
        "defer",
        th.BooleanType,
        default=False,
        title="Defer",
        description="When `wait_timeout` is over: true ends the run well, and the next one goes on with the job.",
    ),
    th.Property(
        "busy_timeout",
        th.NumberType(minimum=0),
        default=3600,
        title="Busy timeout",
        description="Longest wait in seconds for a workspace's one export slot to come free.",
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0),
        default=60,
        title="Request timeout",
        description="Seconds for one HTTP request to connect, and between two reads.",
    ),
    th.Property(
        "job_gids",
        th.ObjectType(additional_properties=GID),
        default={},
        title="Job gids",
        description="By gid of a workspace or graph parent, the job to pick up instead; the log names every job.",
    ),
    th.Property(
        "checkpoint",
        th.CustomType({"type": ["string", "boolean"]}),
        title="Checkpoint",
        description=(
            "Folder (path or URL) where the gids of running jobs are kept besides the state, for runs that are stopped "
            "before their target passes a state on; false: none. Default: one of the Meltano project or the user."
        ),
    ),
    th.Property(
        "export_files",
        th.ArrayType(th.StringType),
        default=[],
        title="Export files",
        description="Paths or URLs of export files that were downloaded earlier, to read instead; Asana is not asked.",
    ),
    th.Property(
        "unknown_fields",
        th.StringType(allowed_values=["warn", "keep", "fail"]),
        default="warn",
        title="Unknown fields",
        description=(
            "Fields that Asana sends and no schema knows: `warn` drops and names them, `keep` puts them into a column "
            "`additional_fields`, `fail` ends the export."
        ),
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://app.asana.com/api/1.0",
        title="API URL",
        description="Base of Asana's API.",
    ),
    th.Property(
        "sandbox",
        th.CustomType({"type": ["boolean", "object"]}),
        default=False,
        title="Sandbox",
        description="Run against the built-in stand-in for Asana; an object sets its size, seed and so on.",
    ),
    th.Property(
        "user_agent",
        th.StringType,
        default=f"tap-asana-export/{VERSION}",
        title="User agent",
        description="How the tap introduces itself to Asana.",
    ),
)


class TapAsanaExport(Tap):
    """Singer tap for Asana's bulk exports: a whole workspace in one export, one file, one pass."""

    name = "tap-asana-export"
    config_jsonschema = SETTINGS.to_dict()
    message_writer_class = MessageWriter
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
        self, *, state: Any = None, validate_config: bool = True, setup_mapper: bool = True, **kwargs: Any
    ) -> None:
        self.logger.addFilter(is_worth_saying)
        check_state(state, [Exports.name, *(source.stream for source in SOURCES)])
        # The SDK's own validation prints the value that does not fit, even if it is a token.
        with unchanged():
            super().__init__(state=state, validate_config=False, setup_mapper=False, **kwargs)
        self.settings = read_settings(self.config, SETTINGS.to_dict())
        if validate_config:
            check_settings(self.settings, self.config_jsonschema)
            check_catalog(self.input_catalog, self.streams)
        if setup_mapper:
            self.setup_mapper()

    def discover_streams(self) -> list[Exports | ObjectStream]:
        """All streams, with `exports` as the parent of the others."""
        exports = Exports(self, self.settings, self.message_writer)
        return [exports, *(ObjectStream(self, source) for source in SOURCES)]


def is_worth_saying(record: logging.LogRecord) -> bool:
    """Whether a line of the SDK's log tells anything: not that there are streams, nor that one is not selected."""
    return not str(record.msg).startswith(("Added '%s' as child stream", "Skipping deselected stream"))
