"""A hash of JSON content."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def fingerprint(content: Any) -> str:
    """Return a text that is the same for equal JSON content, whatever the order of its properties."""
    canonical = msgspec.json.encode(content, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
