"""Small staged files between tasks: JSON at an fsspec URI, whole or not at all."""

from __future__ import annotations

from typing import Any

import fsspec
import orjson

from driftline.core.errors import DataError


def write_json(uri: str, data: Any) -> None:  # noqa: ANN401 - any JSON
    """Writes JSON so that a reader sees all of it or none."""
    with fsspec.open(f"{uri}.part", "wb", auto_mkdir=True) as file:
        file.write(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.mv(f"{path}.part", path)


def read_json(uri: str) -> Any:  # noqa: ANN401 - any JSON
    """Reads it back.

    Raises:
        DataError: There is no such file.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            return orjson.loads(file.read())
    except FileNotFoundError:
        raise DataError("the staged file is gone", where=uri, fix="Run the task that wrote it again.") from None
