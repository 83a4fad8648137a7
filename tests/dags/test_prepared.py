"""What the first visitor of the pages would wait for is loaded when the server starts, and in no other part of Airflow."""

from __future__ import annotations

import subprocess
import sys

STARTED = """
import asyncio, sys, threading
from airflow import plugins_manager

_, middlewares = plugins_manager.get_fastapi_plugins()
(middleware,) = [each for each in middlewares if each["name"] == "Driftline"]
assert "driftline_airflow.web.app" not in sys.modules, "a scheduler would load it, too"
passed = []

async def inner(scope, receive, send):
    passed.append(scope["type"])

made = middleware["middleware"](inner)
asyncio.run(made({"type": "http"}, None, None))
assert "driftline_airflow.web.app" not in sys.modules, "only the start loads"
asyncio.run(made({"type": "lifespan"}, None, None))
assert passed == ["http", "lifespan"]
for thread in threading.enumerate():
    if thread.name == "driftline-prepare":
        thread.join(120)
from driftline_airflow.web import app, assets
assert app.application.cache_info().currsize == 1
assert assets.asset.cache_info().currsize >= 1
assert "driftline.pipeline.view" in sys.modules
print("prepared")
"""


def test_a_server_prepares_the_pages_when_it_starts(airflow_database: None) -> None:
    ended = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("prepared\n")
    assert "Traceback" not in ended.stderr
