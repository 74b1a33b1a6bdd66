"""`lmc serve`: the runs folder in a browser, while jobs run. It answers GET alone, on the paths below alone, and reads
nothing outside the folder."""

import functools
import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lmcompare.errors import ResourceError, UserError
from lmcompare.experiments.overview import Overview
from lmcompare.experiments.study_pages import DAMAGED, StudyPages
from lmcompare.report import live

HERE = "127.0.0.1"
PORT = 8765
EVERYWHERE = ("", "0.0.0.0", "::")  # a host that stands for all addresses of this machine
HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
SILENT = ("BrokenPipeError", "ConnectionResetError")

Reply = tuple[HTTPStatus, str, bytes]


class Server(ThreadingHTTPServer):
    """A runs folder, what was last seen in it, and the reports that were made of its studies."""

    daemon_threads = True

    def __init__(self, root: Path, host: str = HERE, port: int = PORT) -> None:
        self.root, self.host = root, host
        self.overview, self.looking = Overview(root), threading.Lock()
        self.pages = StudyPages(root)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ResourceError(f"{host}, port {port}: {why}; name another with --port, or --host") from None

    @property
    def address(self) -> str:
        """One that a browser can open: that of all addresses of a machine is none."""
        host = network_address() if self.host in EVERYWHERE else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    @property
    def exposed(self) -> bool:
        """Whether other machines can ask it."""
        return not ipaddress.ip_address(str(self.server_address[0])).is_loopback

    def state(self, since: int) -> bytes:
        with self.looking:
            found = self.overview.look(since)
        return json.dumps(found, allow_nan=False, separators=(",", ":")).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""
        import sys

        if type(sys.exc_info()[1]).__name__ not in SILENT:
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "lmcompare", ""
    timeout = 30  # seconds for a request to arrive

    def do_GET(self) -> None:
        if not trusted(self.headers.get("Host", ""), self.server.host):
            told = f"not a name of this server: open {self.server.address}, or start it with --host NAME\n"
            self.send(HTTPStatus.MISDIRECTED_REQUEST, TEXT, told.encode())
            return
        try:
            self.send(*self.answer())
        except UserError as error:
            self.send(HTTPStatus.CONFLICT, TEXT, f"{error}\n".encode("utf-8", "replace"))
        except DAMAGED as error:
            told = f"it cannot be shown: {type(error).__name__}: {error}\n"
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, told.encode("utf-8", "replace"))

    def refuse(self) -> None:
        self.send(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"GET alone\n", {"Allow": "GET"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = refuse

    def answer(self) -> Reply:
        try:
            asked = urlsplit(self.path)
        except ValueError:
            return HTTPStatus.BAD_REQUEST, TEXT, b"not an address\n"
        if asked.path == "/":
            return HTTPStatus.OK, HTML, live.render(self.server.root.name).encode()
        if asked.path == "/runs.json":
            since = parse_qs(asked.query).get("since", ["0"])[0]
            return HTTPStatus.OK, JSON, self.server.state(int(since) if since.isdecimal() else 0)
        first, _, name = asked.path.lstrip("/").partition("/")
        found = self.server.pages.page(unquote(name)) if first == "study" else None
        if found is None:
            return HTTPStatus.NOT_FOUND, TEXT, b"nothing is here\n"
        return HTTPStatus.OK, HTML, found

    def send(self, status: HTTPStatus, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": "frame-ancestors 'none'",
            **(more or {}),
        }
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to whoever started this."""


def trusted(host: str, own: str) -> bool:
    """Whether a request was meant for this server. A page elsewhere can give its own name our address and ask in its
    name (DNS rebinding); an address as a number, and the names of this machine, it cannot have."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return name in {"localhost", own.lower()} or name in own_names()


@functools.cache
def own_names() -> frozenset[str]:
    """What this machine is called, with its domain and without."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def network_address() -> str:
    """The address by which others reach this machine; without a network its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            # Nothing is sent: this only asks which way it would go.
            asking.connect(("192.0.2.1", 9))
            return str(asking.getsockname()[0])
        except OSError:
            return HERE


def serve(root: Path, *, host: str = HERE, port: int = PORT, told: Callable[[str, bool], None]) -> None:
    """Until Ctrl-C. `told`: the address, and whether other machines can ask there."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; name the one that holds the runs")
    if not os.access(root, os.R_OK | os.X_OK):
        raise ResourceError(f"{root}: not allowed to read here")
    server = Server(root.resolve(), host, port)
    told(server.address, server.exposed)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
