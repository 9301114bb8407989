"""A server of files in ranges on this machine, which counts what it sends and can fail."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock


class FileServer(ThreadingHTTPServer):
    """Serves bytes by name; use `serving`.

    Attributes:
        content: The bytes of each file, by its path without the first slash.
        requests: Paths that were asked for, with their queries, in order.
        sent: Bytes of files that were sent.
        busy: How many requests from now on are answered with 503.
        silent: How many are not answered at all.
        dropped: How many are broken off in the middle from now on, after `spared` others.
        spared: How many are answered before the first is broken off.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.sent = self.busy = self.silent = self.dropped = self.spared = 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://{self.address}"

    def fate(self) -> str:
        """What becomes of the next request that is for a file."""
        with self.lock:
            if self.busy:
                self.busy -= 1
                return "busy"
            if self.silent:
                self.silent -= 1
                return "silent"
            if self.spared:
                self.spared -= 1
            elif self.dropped:
                self.dropped -= 1
                return "dropped"
            return "answered"

    def handle_error(self, *_: Any) -> None:
        """Clients that leave early are no errors."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.server.requests.append(self.path)
        name = self.path.strip("/").partition("?")[0]
        if name not in self.server.content:
            return self.reply(404, b"")
        fate = self.server.fate()
        if fate == "busy":
            return self.reply(503, b"")
        if fate == "silent":
            self.close_connection = True
            return None
        body = self.server.content[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self.reply(200, body, is_broken=fate == "dropped")
        start, end = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
        span = f"bytes {start}-{end}/{len(body)}"
        headers = {"Content-Range": span}
        return self.reply(206, body[start : end + 1], headers, is_broken=fate == "dropped")

    def reply(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        is_broken: bool = False,
    ) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), "Accept-Ranges": "bytes", **(headers or {})}
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            part = body[: len(body) // 2] if is_broken else body
            self.wfile.write(part)
            with self.server.lock:
                self.server.sent += len(part)
        self.close_connection = self.close_connection or is_broken

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server while the context lasts."""
    # Whatever proxy there is has no way to this machine.
    direct = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    with mock.patch.dict(os.environ, direct), FileServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
