"""Asana's API and storage at their fastest: every export is done when it is asked for.

Usage: python server.py FOLDER

Prints its URL. `URL/FILE` is the file of that name in the folder, and the API for the export that it is of.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TIME = "2026-01-31T00:00:00.000Z"


class Handler(BaseHTTPRequestHandler):
    """Answers with a file, and to everything else with the job that made it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the file, or its job."""
        name, _, below = self.path[1:].partition("/")
        if below:
            self.send_job(200, name)
            return
        with Path(sys.argv[1], name).open("rb") as file:
            self.send_head(200, os.fstat(file.fileno()).st_size)
            self.connection.sendfile(file)

    def do_POST(self) -> None:
        """Read the request for an export, and send its job."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_job(201, self.path.split("/")[1])

    def send_job(self, status: int, name: str) -> None:
        """Send a job that has succeeded."""
        export = {"gid": "2", "created_at": TIME, "completed_at": TIME}
        export["download_url"] = f"http://{self.headers['Host']}/{name}"
        job = {"gid": "1", "resource_type": "job", "status": "succeeded", "new_resource_export": export}
        content = json.dumps({"data": job}).encode()
        self.send_head(status, len(content))
        self.wfile.write(content)

    def send_head(self, status: int, length: int) -> None:
        """Send status and headers."""
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
