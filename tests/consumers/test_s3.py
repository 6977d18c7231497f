"""Batch files on an object store."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.consumers.conftest import PROJECT
from tests.targets import STREAMS, prefix

if TYPE_CHECKING:
    from tests.consumers.conftest import S3, Exported

# httpfs is what lets DuckDB read s3://; elsewhere `install httpfs` fetches it.
PACKAGES = ("s3fs==2026.9.0", "duckdb==1.2.2", "duckdb-extension-httpfs==1.2.2")

PUT_AND_LOAD = """
import json, sys
from pathlib import Path
import duckdb, duckdb_extension_httpfs, s3fs

folder, root, load, endpoint, *streams = sys.argv[1:]
s3fs.S3FileSystem().put(folder, root, recursive=True)
[httpfs] = Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
with duckdb.connect() as database:
    database.load_extension(str(httpfs))
    keys = "key_id 'key', secret 'secret'"
    database.execute(f"create secret (type s3, {keys}, endpoint '{endpoint}', use_ssl false, url_style 'path')")
    database.execute("set variable batches = ?", [f"{root}/"])
    database.execute(Path(load).read_text())
    gids = {stream: database.sql(f"select gid from {stream} order by gid").fetchall() for stream in streams}
    print(json.dumps({stream: [gid for gid, in found] for stream, found in gids.items()}))
"""


def test_s3fs_writes_batch_files_and_duckdb_reads_them(exported: Exported, s3: S3) -> None:
    load = PROJECT / "examples" / "duckdb" / "load.sql"
    done = subprocess.run(
        [
            *(prefix(*PACKAGES) / "bin" / "python", "-c", PUT_AND_LOAD),
            *(exported.root, f"{s3.bucket}/lake/asana", load, s3.endpoint.removeprefix("http://"), *STREAMS),
        ],
        capture_output=True,
        check=False,
        env=os.environ | s3.environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {stream: sorted(exported.tables[stream]) for stream in STREAMS}
