"""Scripts, styles and Plotly, from our own files and from its package: nothing is loaded from another host."""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException, Request, Response, status

from driftline_airflow.web.access import routes

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
PLOTLY = "plotly.js"
router = routes(prefix="/static")


@dataclass(frozen=True)
class Asset:
    """A file as it is sent: its content, compressed, and what tells it from another version."""

    content: bytes
    packed: bytes
    kind: str
    tag: str


@functools.cache
def asset(name: str) -> Asset | None:
    """The file of that name; None where there is none. Only names that the folder lists are looked at."""
    if name == PLOTLY:
        import plotly

        content, kind = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes(), TYPES[".js"]
    elif path := {each.name: each for each in FOLDER.iterdir()}.get(name):
        content, kind = path.read_bytes(), TYPES[path.suffix]
    else:
        return None
    return Asset(content, gzip.compress(content, 6), kind, hashlib.sha256(content).hexdigest()[:16])


def address(name: str) -> str:
    """Where a page finds a file, relative to the pages; it changes when the file does, so browsers may keep it."""
    found = asset(name)
    assert found is not None, name
    return f"static/{name}?v={found.tag}"


@router.get("/{name}")
def static(name: str, request: Request) -> Response:
    """A file of ours."""
    found = asset(name)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
    # scripts import one another without a version: those are asked for again each time
    fresh = "max-age=31536000, immutable" if request.query_params.get("v") == found.tag else "no-cache"
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": f"private, {fresh}", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, media_type=found.kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.content, media_type=found.kind, headers=headers)
