"""A short text that stands for some JSON content."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def fingerprint(content: Any) -> str:
    """The same text for the same JSON content."""
    canonical = msgspec.json.encode(content, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
