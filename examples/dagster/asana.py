"""Every hour: export all workspaces of an Asana organization side by side, then load the files into DuckDB.

    pip install dagster dagster-webserver duckdb tap-asana-export
    export ASANA=/data/asana DAGSTER_HOME=/data/asana/dagster    # with dagster.yaml in the latter
    dagster dev -f asana.py

`$ASANA/config.json` holds the tap's settings but for `workspaces`, with a `batch_config` whose root is in `$ASANA` too;
`$ASANA/workspaces.txt` the workspaces' gids, one a line; `$ASANA/state` comes to hold how far each is exported.
"""

import json
import os
import shlex
import subprocess
from pathlib import Path

import dagster as dg
import duckdb

FOLDER = Path(os.environ["ASANA"])
TAP = shlex.split(os.environ.get("ASANA_TAP", "tap-asana-export"))
LOAD = Path(__file__).parents[1] / "duckdb" / "load.sql"


def export_of(workspace: str) -> dg.AssetsDefinition:
    """A workspace's batch files. It has an export slot of its own at Asana, so it gets a run and a state of its own."""

    @dg.asset(name=f"export_{workspace}", retry_policy=dg.RetryPolicy(max_retries=1, delay=10))
    def export() -> None:
        folder = FOLDER / "state" / workspace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"workspaces": [workspace]}))
        state, new = folder / "state.json", folder / "state.json.new"
        command = [*TAP, "--config", FOLDER / "config.json", "--config", folder / "config.json"]
        command += ["--state", state] if state.exists() else []
        with subprocess.Popen(command, stdout=subprocess.PIPE) as tap:
            for message in map(json.loads, tap.stdout):
                # What a STATE tells of is in the files. A retry goes on from there, with the same export job.
                if message["type"] == "STATE":
                    new.write_text(json.dumps(message["value"]))
                    new.replace(state)
        if tap.returncode:
            raise dg.Failure(f"tap-asana-export ended with {tap.returncode}; its log says why")

    return export


exports = [export_of(workspace) for workspace in (FOLDER / "workspaces.txt").read_text().split()]


@dg.asset(deps=exports)
def tables() -> None:
    """The latest state of all workspaces."""
    storage = json.loads((FOLDER / "config.json").read_text())["batch_config"]["storage"]
    with duckdb.connect(str(FOLDER / "asana.duckdb")) as connection:
        connection.execute("set variable batches = ?", [f"{storage['root']}/{storage.get('prefix', '')}"])
        connection.execute(LOAD.read_text())


# Asana runs five export jobs of one token at once, no more.
asana = dg.define_asset_job("asana", executor_def=dg.multiprocess_executor.configured({"max_concurrent": 5}))
hourly = dg.ScheduleDefinition(job=asana, cron_schedule="0 * * * *")
definitions = dg.Definitions(assets=[*exports, tables], jobs=[asana], schedules=[hourly])
