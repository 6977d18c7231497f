"""The tap with small blocks and a STATE after every few lines: it reads a file of hundreds as one of millions."""

from __future__ import annotations

from tap_asana_export import export
from tap_asana_export.__main__ import main
from tap_asana_export.records import reader as text

text.TEXT = 1 << 15
export.STATE_EVERY = 5

if __name__ == "__main__":
    main()
