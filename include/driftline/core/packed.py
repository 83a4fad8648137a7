"""Arrays as text, for JSON: their type, and their bytes in base64."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def packed(array: NDArray[Any], kind: str) -> str:
    """A flat array as text; `kind` is a type of numpy's, such as `<u8` or `<f4`."""
    return f"{kind}:{base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()}"


def unpacked(text: str) -> NDArray[Any]:
    """The flat array again, read-only."""
    kind, _, data = text.partition(":")
    return np.frombuffer(base64.b64decode(data), dtype=kind)
