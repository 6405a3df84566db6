"""Runs in the container, on Debian's Python alone: asks QGIS Server, and what QGIS itself knows.

inside.py ask      REQUESTS   sends them one after the other to 127.0.0.1:8081; writes [status, body in Base64] of each
inside.py prepare  FOLDER     makes the database and the listener by which an attack shows; the listener goes on
inside.py names               writes the names of all functions of QGIS's expressions
inside.py uses     TEXTS      writes [functions, variables] of each expression; null when it is none
"""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def ask(requests: list[dict[str, str]]) -> list[list[object]]:
    answers: list[list[object]] = []
    for request in requests:
        connection = http.client.HTTPConnection("127.0.0.1", 8081, timeout=100)
        body = request["body"].encode() or None
        headers = {"Content-Type": request["type"]} if body else {}
        connection.request("POST" if body else "GET", request["address"], body, headers)
        answer = connection.getresponse()
        answers.append([answer.status, base64.b64encode(answer.read()).decode()])
        connection.close()
    return answers


def prepare(folder: str) -> None:
    place = Path(folder)
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    with sqlite3.connect(place / "accounts.db") as database:
        database.execute("CREATE TABLE t (k TEXT PRIMARY KEY, n INTEGER)")
    (place / "accounts.db").chmod(0o666)

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with (place / "asked").open("a") as log:
                log.write(self.path + "\n")
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = HTTPServer(("127.0.0.1", 9999), Listener)
    (place / "asked").touch()
    server.serve_forever()


def names() -> list[str]:
    from qgis.core import QgsExpression  # noqa: PLC0415 - slow, and asking needs it not

    return sorted(function.name() for function in QgsExpression.Functions())


def uses(texts: list[str]) -> list[object]:
    from qgis.core import QgsExpression  # noqa: PLC0415 - slow, and asking needs it not

    found: list[object] = []
    for text in texts:
        expression = QgsExpression(text)
        used = [sorted(expression.referencedFunctions()), sorted(expression.referencedVariables())]
        found.append(None if expression.hasParserError() else used)
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ask", text]:
            print(json.dumps(ask(json.loads(text))))
        case ["prepare", folder]:
            prepare(folder)
        case ["names"]:
            print(json.dumps(names()))
        case ["uses", text]:
            print(json.dumps(uses(json.loads(text))))
