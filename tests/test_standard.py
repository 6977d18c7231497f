"""The SDK's own test suite, against the sandbox that the tap brings."""

from __future__ import annotations

from typing import Any

from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_asana_export.tap import TapAsanaExport

CONFIG: dict[str, Any] = {
    "sandbox": {"tasks": 60, "messages": 20, "teams": 3, "large": 0, "job_seconds": 0, "change_interval": 0},
    "poll_interval": 0.01,
}

TestStandard = get_tap_test_class(tap_class=TapAsanaExport, config=CONFIG)

TestStandardWithoutRecordLimit = get_tap_test_class(
    tap_class=TapAsanaExport, config=CONFIG, suite_config=SuiteConfig(max_records_limit=None)
)
