"""Pages from templates. Everything in them is escaped; data for scripts is JSON in an element that is not run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import orjson
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from driftline_airflow.web.assets import address

# What ends the element, or begins a comment in it, is written as JSON may write it.
_INERT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals["asset"] = address
    environment.filters["data"] = inert
    return environment


def inert(value: Any) -> Markup:  # noqa: ANN401 - any JSON
    """JSON for `<script type="application/json">`."""
    return Markup(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode().translate(_INERT))  # noqa: S704 - inert


def rendered(template: str, *, status_code: int = 200, depth: int = 0, **values: Any) -> HTMLResponse:  # noqa: ANN401
    """A page. `depth` is how many folders below the others its address lies: addresses in it are relative."""
    root = "../" * depth or "./"
    return HTMLResponse(_templates().get_template(template).render(root=root, **values), status_code=status_code)
