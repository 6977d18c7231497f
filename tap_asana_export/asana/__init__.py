"""HTTP with Asana and its storage. Knows no Singer, no settings, and no line of a file."""

from tap_asana_export.asana.activity import read_audit_log, read_events
from tap_asana_export.asana.auth import GRANT, Grant
from tap_asana_export.asana.client import Asana, ask_now
from tap_asana_export.asana.download import Download
from tap_asana_export.asana.jobs import JOBS_AT_ONCE, PollingLimits, look, request_export, wait
from tap_asana_export.asana.lists import TakeObjects, gids_of, read_list
from tap_asana_export.asana.models import AsanaExport, Job
from tap_asana_export.asana.pace import AT_ONCE

__all__ = [
    "AT_ONCE",
    "GRANT",
    "JOBS_AT_ONCE",
    "Asana",
    "AsanaExport",
    "Download",
    "Grant",
    "Job",
    "PollingLimits",
    "TakeObjects",
    "ask_now",
    "gids_of",
    "look",
    "read_audit_log",
    "read_events",
    "read_list",
    "request_export",
    "wait",
]
