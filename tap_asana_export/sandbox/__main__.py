"""The command `asana-sandbox`, which runs the stand-in for Asana by itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading

from tap_asana_export.sandbox.server import Sandbox

JSON_SETTINGS = ("workspaces", "retry_after")
"""Settings with a number or another type as value, which are given as JSON."""


def main() -> None:
    """Serve until SIGINT or SIGTERM; the options are the settings of `Sandbox`."""
    parser = argparse.ArgumentParser(prog="asana-sandbox", description="A stand-in for Asana's export API.")
    for name, (default, meaning) in Sandbox.settings().items():
        kind = json.loads if isinstance(default, (dict, bool)) or name in JSON_SETTINGS else type(default)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            metavar="JSON" if kind is json.loads else kind.__name__.upper(),
            help=f"{meaning} (default: {default})".replace("%", "%%"),
        )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        sandbox = Sandbox(**vars(parser.parse_args())).start()
    except (OSError, OverflowError, TypeError, ValueError) as problem:
        parser.error(str(problem))
    with contextlib.closing(sandbox):
        sys.stdout.write(
            f"api_url: {sandbox.api_url}\naccess_token: {sandbox.access_token}\n"
            f"curl -H 'Authorization: Bearer {sandbox.access_token}' {sandbox.api_url}/users/me\n"
        )
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
