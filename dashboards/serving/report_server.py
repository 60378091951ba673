"""The report as a page that is built anew at every visit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lossweep.dashboards.serving.processes import LOOPBACK


@contextmanager
def report_server(host: str, build: Callable[[], str]) -> Iterator[int]:
    """Serve the page from a thread of this process while the context lasts; yields the port.

    Args:
        host: to listen on.
        build: makes the page.
    """
    server = _server(host, build)
    threading.Thread(target=server.serve_forever, name="lossweep-report", daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def _server(host: str, build: Callable[[], str]) -> ThreadingHTTPServer:
    loopback = host in (LOOPBACK, "localhost", "::1")

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = (self.headers.get("Host") or "").rpartition(":")[0]
            if loopback and name not in (LOOPBACK, "localhost", "[::1]"):
                # A page elsewhere could point its own name at this machine and read the report.
                self.send_error(403, "Invalid Host header")
                return
            if self.path not in ("/", "/report.html"):
                self.send_error(404)
                return
            try:
                page, status = build().encode("utf-8"), 200
            except Exception as error:
                page, status = f"The report could not be built: {type(error).__name__}".encode(), 500
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8" if status == 200 else "text/plain")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the links were printed, and visits are no news."""

    server = ThreadingHTTPServer((host, 0), Page)
    server.daemon_threads = True
    return server
