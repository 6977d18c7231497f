"""The tap with small blocks and a STATE after every few lines: it reads a file of hundreds as one of millions."""

from __future__ import annotations

from tap_asana_export.__main__ import main
from tap_asana_export.limits import Limits
from tap_asana_export.tap import TapAsanaExport

TapAsanaExport.limits = Limits(text=1 << 15, state_lines=5, batch_block=1)

if __name__ == "__main__":
    main()
