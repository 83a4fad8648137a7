"""`driftline …` in this process: what a process of its own does, without the seconds that each spends on imports.

That the installed command works as a process, with its exit codes and streams, is tested in test_cli.py.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from unittest import mock

from driftline.cli import main


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with these words and variables, in a wide terminal that is none; an unexpected error is raised."""
    words = ["driftline", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        open(os.devnull) as nothing,
        mock.patch.dict(os.environ, {"COLUMNS": "300", **environment}),
        mock.patch.multiple(sys, argv=words, stdin=nothing, stdout=out, stderr=err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    said, complained = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    assert "Traceback" not in complained, complained
    return subprocess.CompletedProcess(words, int(str(code)), said, complained)
