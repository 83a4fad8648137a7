"""Receivers of alerts on this machine: what Slack, PagerDuty and webhooks are told arrives here."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Receiver:
    """What arrived, and what is answered."""

    port: int = 0
    status: int = 200
    answer: bytes = b"ok"
    got: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@contextmanager
def receiver(pem: Path | None = None) -> Iterator[Receiver]:
    """A server that keeps the path, headers and JSON of each request; with a key and certificate it speaks TLS."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.got.append((self.path, dict(self.headers), body))
            self.send_response(kept.status)
            self.send_header("Content-Length", str(len(kept.answer)))
            self.end_headers()
            self.wfile.write(kept.answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    kept.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kept
    server.shutdown()
    server.server_close()


def connection(**fields: Any) -> str:
    """An Airflow connection as it stands in the environment."""
    return json.dumps({"host": "127.0.0.1", **fields})
