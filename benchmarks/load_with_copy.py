"""Load an export file into PostgreSQL by way of batch files.

Usage: python load_with_copy.py ROOT CATALOG SOCKET PSQL COMMAND…

The command is the tap's, with a `batch_config` that has this root; psql talks to the server on this socket.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOAD = Path(__file__).parents[1] / "examples" / "postgres" / "load.sql"


def main(root: str, catalog: str, socket: str, psql: str, *command: str) -> None:
    """Write the files, then make the tables."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    variables = ("-v", f"batches={root}/", "-v", f"catalog={catalog}")
    subprocess.run([psql, "-h", socket, "-U", "postgres", "-X", *variables, "-f", LOAD], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
