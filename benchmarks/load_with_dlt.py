"""Load an export file into DuckDB with dlt, one table a type, arrays as JSON as target-duckdb keeps them.

Usage: python load_with_dlt.py FILE DATABASE
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import dlt  # type: ignore[import-not-found,unused-ignore]
from dlt.sources.filesystem import filesystem, read_jsonl  # type: ignore[import-not-found,unused-ignore]


def main(file: Path, database: str) -> None:
    """Run the pipeline once, from nothing."""
    objects = filesystem(bucket_url=file.parent.as_uri(), file_glob=file.name) | read_jsonl()
    objects.apply_hints(table_name=lambda item: f"{item['resource_type']}s")
    objects.max_table_nesting = 0
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "benchmark", pipelines_dir=folder, destination=dlt.destinations.duckdb(database), dataset_name="main"
        )
        pipeline.run(objects)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
