"""zlib, by ISA-L where that has a wheel, which is several times as fast."""

from __future__ import annotations

try:
    from isal import isal_zlib as zlib
except ImportError:  # isal has no wheel for this machine; zlib does the same, slower
    import zlib  # type: ignore[no-redef]

__all__ = ["zlib"]
