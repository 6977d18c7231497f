"""From the bytes of an export file to the text of records."""

from tap_asana_export.records.handlers import ObjectHandler
from tap_asana_export.records.mapped import Mapped
from tap_asana_export.records.objects import TAG, StreamOutput
from tap_asana_export.records.origin import origins, workspace_of
from tap_asana_export.records.reader import as_lines, blocks, blocks_in_time
from tap_asana_export.records.router import RecordRouter
from tap_asana_export.records.schemas import activate_version_messages, is_passthrough, schema_messages
from tap_asana_export.records.selection import (
    ADDITIONAL,
    Breadcrumb,
    all_properties,
    opt_in,
    selected_fields,
    selected_schema,
    usual_fields,
    without_items,
)
from tap_asana_export.records.unknown_fields import UnknownFields

__all__ = [
    "ADDITIONAL",
    "TAG",
    "Breadcrumb",
    "Mapped",
    "ObjectHandler",
    "RecordRouter",
    "StreamOutput",
    "UnknownFields",
    "activate_version_messages",
    "all_properties",
    "as_lines",
    "blocks",
    "blocks_in_time",
    "is_passthrough",
    "opt_in",
    "origins",
    "schema_messages",
    "selected_fields",
    "selected_schema",
    "usual_fields",
    "without_items",
    "workspace_of",
]
