"""The operator's page of a Pi: takes one order with its password, and hands a fixed word on to the helper of root.

Runs on the Pi without any right but two: to be asked by the map server's nginx, and to give the helper a word. So the
page works while the database does not, and whoever takes the map server's container over still needs the password.
Each order is given together with the password: there is no session to steal, and no other site can give one.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.pi_page import operator_login, orders, render
from ansible.module_utils.poppyfield.pi_page.operator_login import Guesses
from ansible.module_utils.poppyfield.pi_page.words import LANGUAGES

HELPER = "/run/poppyfield-orders.sock"
INHERITED = 3
"""The first socket that systemd hands over."""
IDLE_SECONDS = 600
"""After so long without a request it ends, until the next one: by then each address may guess again."""
REQUEST_SECONDS = 10
HELPER_SECONDS = 120
MOST_BODY = 2048
MOST_FIELDS = 4
LARGEST_BUNDLE = 32 * 1024**2
BUNDLE_TYPE = "application/gzip"
STATUSES = {
    orders.ACCEPTED: HTTPStatus.ACCEPTED,
    orders.TOO_SOON: HTTPStatus.TOO_MANY_REQUESTS,
    orders.BUSY: HTTPStatus.CONFLICT,
    orders.MISSING: HTTPStatus.NOT_FOUND,
    orders.FAILED: HTTPStatus.BAD_GATEWAY,
    orders.UNKNOWN: HTTPStatus.BAD_REQUEST,
}


@dataclass(frozen=True)
class OperatorRequest:
    """What somebody asks, as nginx hands it on."""

    method: str
    address: str
    is_secure: bool
    """Whether it came by HTTPS."""
    language: str
    body: bytes = b""


@dataclass(frozen=True)
class OperatorAnswer:
    """What is answered."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    """What the Pi's journal gets to know."""


Give = Callable[[str], tuple[str, bytes]]
"""Gives the helper an order; gives its reply, and what comes with it."""


@dataclass
class OperatorPage:
    """What the page knows."""

    name: str
    kept_password: str
    over_http: bool
    give: Give
    now: Callable[[], float] = time.monotonic
    guesses: Guesses = field(default_factory=Guesses)

    def answer(self, request: OperatorRequest) -> OperatorAnswer:
        """Answer a request."""
        if not request.is_secure and not self.over_http:
            return self._page(request, HTTPStatus.FORBIDDEN, "needs_https", form=False)
        if request.method != "POST":
            return self._page(request, HTTPStatus.OK, "")
        order, password = _fields(request.body)
        if order is None or not password:
            return self._page(request, HTTPStatus.BAD_REQUEST, "not_understood")
        if wait := self.guesses.wait(request.address, self.now()):
            return self._page(request, HTTPStatus.TOO_MANY_REQUESTS, "guessing", {"Retry-After": str(int(wait) + 1)})
        who = operator_login.visitor(request.address) or "somebody"
        if not operator_login.is_right(password, self.kept_password):
            self.guesses.wrong(request.address, self.now())
            return self._page(request, HTTPStatus.FORBIDDEN, "wrong_password", log=f"{who}: wrong password")
        return self._give(request, order, who)

    def _give(self, request: OperatorRequest, order: str, who: str) -> OperatorAnswer:
        reply, content = self.give(order)
        log = f"{who}: {order}: {reply}"
        if order == orders.SUPPORT and reply == orders.ACCEPTED:
            moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            headers = {
                "Content-Type": BUNDLE_TYPE,
                "Content-Disposition": f'attachment; filename="poppyfield-support-{moment}.tar.gz"',
            }
            return OperatorAnswer(HTTPStatus.OK, content, headers, log)
        said = order if reply == orders.ACCEPTED else reply
        return self._page(request, STATUSES[reply], said, form=False, log=log)

    def _page(
        self,
        request: OperatorRequest,
        status: HTTPStatus,
        said: str,
        headers: Mapping[str, str] | None = None,
        *,
        form: bool = True,
        log: str = "",
    ) -> OperatorAnswer:
        page = render.operator(self.name, said, request.language, form=form)
        html = {"Content-Type": "text/html; charset=utf-8"}
        return OperatorAnswer(status, page.encode(), {**html, **(headers or {})}, log)


def _fields(body: bytes) -> tuple[str | None, str]:
    """Give the order, one of those there are, and the password of a form."""
    try:
        given = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        return None, ""
    order, password = given.get("order", []), given.get("password", [])
    if len(order) != 1 or len(password) != 1 or order[0] not in orders.ORDERS:
        return None, ""
    return order[0], password[0] if len(password[0]) <= operator_login.LONGEST else ""


def give_to_helper(order: str, path: str = HELPER) -> tuple[str, bytes]:
    """Give the helper an order; only a bundle comes with its reply."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HELPER_SECONDS)
        connection.connect(path)
        with suppress(BrokenPipeError, ConnectionResetError), connection.makefile("rb") as stream:
            connection.sendall(order.encode() + orders.END)
            reply = orders.reply_of(stream.readline(orders.LONGEST))
            content = stream.read(LARGEST_BUNDLE) if reply == orders.ACCEPTED and order == orders.SUPPORT else b""
            return reply, content
        return orders.BUSY, b""
    return orders.FAILED, b""


class OperatorHandler(BaseHTTPRequestHandler):
    """One request, of nginx."""

    timeout = REQUEST_SECONDS
    server: OperatorServer

    def do_GET(self) -> None:
        """Show the page."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Take an order."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MOST_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        language = self.headers.get("X-Language", "")
        answer = self.server.page.answer(
            OperatorRequest(
                str(self.command),
                self.headers.get("X-Visitor", ""),
                self.headers.get("X-Scheme", "") == "https",
                language if language in LANGUAGES else LANGUAGES[0],
                body,
            )
        )
        # Before the answer: what was done is known also where nobody reads it.
        if answer.log:
            tell(answer.log)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: nginx notes each request."""

    def version_string(self) -> str:
        """Name no version."""
        return "poppyfield"


class OperatorServer(socketserver.UnixStreamServer):
    """Takes requests one after the other, by a socket that systemd made."""

    def __init__(self, page: OperatorPage, inherited: socket.socket) -> None:
        super().__init__("", OperatorHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = inherited
        self.page = page
        self.timeout = IDLE_SECONDS
        self.is_idle = False

    def handle_timeout(self) -> None:
        """Note that nobody came."""
        self.is_idle = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what went wrong with a connection, and go on with the next."""
        tell(f"a request failed: {type(sys.exc_info()[1]).__name__}")


def tell(line: str) -> None:
    """Write a line into the Pi's journal."""
    sys.stderr.write(f"{' '.join(printable(line).split())}\n")
    sys.stderr.flush()


def main() -> int:
    """Answer until nobody has come for a while."""
    settings = json.loads((Path(__file__).resolve().parents[4] / "settings.json").read_text("utf-8"))
    # What is kept of the password is handed over by systemd, which alone may read that file.
    page = OperatorPage(settings["name"], sys.stdin.readline(), settings["operator_over_http"], give_to_helper)
    with socket.socket(fileno=INHERITED) as inherited:
        server = OperatorServer(page, inherited)
        while not server.is_idle:
            server.handle_request()
    return 0


if __name__ == "__main__":
    sys.exit(main())
