"""A site with two weaknesses that a scanner must find: SQL from a parameter, and a script from another one."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.doubles.serving import serving


class Careless(BaseHTTPRequestHandler):
    """Shows a plot by its number, and whatever is searched for."""

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        links = '<a href="/?plot=1">one</a> <a href="/?word=oak">oak</a>'
        status, text = plot(asked["plot"]) if "plot" in asked else (200, asked.get("word", ""))
        page = f"<html><body>{links}<p>{text}</p></body></html>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def plot(number: str) -> tuple[int, str]:
    """Look a plot up as one must not."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE plots AS SELECT 1 AS number, 'an orchard' AS name")
        try:
            rows = database.execute(f"SELECT name FROM plots WHERE number = {number}").fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            return 500, f"sqlite3.OperationalError: {error}"
    return 200, ", ".join(str(name) for (name,) in rows) or "nothing"


def careless_site() -> AbstractContextManager[str]:
    """Serve it on this machine alone; give its address."""
    return serving(Careless)
