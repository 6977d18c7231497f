"""The command `asana-sandbox`, which runs the stand-in for Asana by itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from typing import Any

from tap_asana_export.sandbox.server import Sandbox

PARENTS = ("goal", "team", "portfolio", "project")
"""What graphs can be of."""

JSON_SETTINGS = ("workspaces", "retry_after")
"""Settings with a number or another type as value, which are given as JSON."""


def from_json(text: str) -> Any:
    """Read a value that is given as JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON ({error})") from None


def main() -> None:
    """Serve until SIGINT or SIGTERM; the options are the settings of `Sandbox`."""
    parser = argparse.ArgumentParser(prog="asana-sandbox", description="A stand-in for Asana's export API.")
    for name, (default, meaning) in Sandbox.settings().items():
        kind = from_json if isinstance(default, (dict, bool)) or name in JSON_SETTINGS else type(default)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            metavar="JSON" if kind is from_json else kind.__name__.upper(),
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
            f"{described(sandbox)}"
        )
        sys.stdout.flush()
        stopped.wait()


def described(sandbox: Sandbox) -> str:
    """Return what a user may want to know: the workspaces, which gids graphs can be of, and what can be set."""
    lines = []
    for workspace in sandbox.organizations:
        lines.append(f"workspace {workspace}; graph_parents may name, for instance:")
        for kind in PARENTS:
            gids = sandbox.parents(workspace, kind)
            lines.append(f"  {kind}: {', '.join(gids[:3]) or 'none'}{f' and {len(gids) - 3} more' if gids[3:] else ''}")
    lines.append(f"can be set (asana-sandbox --help): {', '.join(Sandbox.settings())}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
