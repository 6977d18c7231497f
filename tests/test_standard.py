"""The SDK's own test suite, against the sandbox that the tap brings."""

from __future__ import annotations

from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_asana_export.tap import TapAsanaExport

CONFIG: dict[str, Any] = {
    "sandbox": {"tasks": 60, "messages": 20, "teams": 3, "large": 0, "job_seconds": 0, "change_interval": 0},
    "poll_interval": 0.01,
    "graph_parents": ["1900100000000000"],  # the first portfolio
}

# Some fields of what the sandbox makes up for arrays and graphs never have a value, of which the suite only warns.
# A definition of a custom field has no value at all.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records"),
    pytest.mark.filterwarnings("ignore:No records were available to test"),
]

CATALOG = TapAsanaExport(config=CONFIG).catalog_dict
for _stream in CATALOG["streams"]:
    for _each in _stream["metadata"]:
        if not _each["breadcrumb"]:
            _each["metadata"]["selected"] = True

WITHOUT_RECORDS = ["deletions", "events"]
"""Streams of what happens after the first run."""

TestStandard = get_tap_test_class(
    tap_class=TapAsanaExport,
    config=CONFIG,
    catalog=CATALOG,
    suite_config=SuiteConfig(ignore_no_records_for_streams=WITHOUT_RECORDS),
)

TestStandardWithoutRecordLimit = pytest.mark.soak(
    get_tap_test_class(
        tap_class=TapAsanaExport,
        config=CONFIG,
        catalog=CATALOG,
        suite_config=SuiteConfig(max_records_limit=None, ignore_no_records_for_streams=WITHOUT_RECORDS),
    )
)
