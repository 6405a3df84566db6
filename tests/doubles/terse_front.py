"""Stands in for nginx before QGIS Server 3.22 in a container: all is well, and no status has a reason.

"HTTP/1.1 200" is what nginx 1.22 made of the answer of QGIS Server 3.22.16 to /ows/lizmap/server.json.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ANSWERS = {
    "/health/database": b"connected",
    "/ows/lizmap/server.json": b'{"plugins": {"lizmap_server": {"version": "2.12.0"}}}',
    "/health/lizmap": b'{"info": {"version": "3.7.17"}}',
}
SQUARE = b"PLTE Pop"
"""The part of a picture that tells that the square was drawn."""


class Answer(BaseHTTPRequestHandler):
    """Answers what the health check asks."""

    def do_GET(self) -> None:
        """Answer by the path; the guard refuses a map of another server."""
        if "EXTERNAL_WMS" in self.path:
            self.wfile.write(b'HTTP/1.1 403\r\n\r\n<ServiceException code="poppyfield_guard">')
            return
        self.wfile.write(b"HTTP/1.1 200\r\n\r\n" + ANSWERS.get(self.path, SQUARE))


if __name__ == "__main__":
    Path("/run/poppyfield").mkdir()
    HTTPServer(("127.0.0.1", 8081), Answer).serve_forever()
