"""How many examples Hypothesis tries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Collection


def examples(
    *, short: int, everything: int, long: int, unchecked: Collection[HealthCheck] = tuple(HealthCheck)
) -> settings:
    """The settings of a fuzzing test.

    Checks try the same examples each time, so that none fails by chance; the long profile looks for new ones.

    Args:
        short: examples by default.
        everything: examples with --all.
        long: examples with HYPOTHESIS_PROFILE=long.
        unchecked: Hypothesis's health checks that are left out.
    """
    profile = os.environ.get("HYPOTHESIS_PROFILE", "short")
    return settings(
        max_examples={"short": short, "all": everything, "long": long}[profile],
        deadline=None,
        derandomize=profile != "long",
        suppress_health_check=unchecked,
    )
