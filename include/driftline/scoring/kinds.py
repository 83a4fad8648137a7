"""Kinds: what an anomalous bucket is, by the evidence that speaks loudest and the way that residuals go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.detector import from_three_sides
from driftline.scoring.settings import CERTAIN_SILENCE, RAMP_RATIO, SHIFT_BUCKETS, SHIFT_LEAST
from driftline.scoring.statistics import running

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.calibration import Calibration
    from driftline.scoring.detector import Detected
    from driftline.scoring.windows import Windows

KINDS = ("", "spike", "drop", "level_shift", "ramp", "flatline", "contextual", "variance", "silence", "rare", "time", "place")
"""What an anomalous bucket is, by its code; the first is none."""
TOLD = frozenset({"rare", "time", "place"})
"""Kinds of which the numbers say little: the record tells what it is."""
CODES = {name: code for code, name in enumerate(KINDS)}
_ALONE = {"variance": "variance", "flatline": "flatline", "frozen": "flatline", "silence": "silence"}


def kinds(found: Detected, space: NDArray[np.float64], calibration: Calibration, windows: Windows) -> NDArray[np.int8]:
    """(N, T) codes into KINDS for every bucket, anomalous or not.

    A value far from its expectation is a spike or a drop; once residuals have lain on one side for a block it is a level shift,
    or a ramp if they grow; unlike the same time on other days, but nothing that was never seen, it is contextual.
    """
    z, (now, together) = np.nan_to_num(found.z), from_three_sides(found.evidence)
    out = np.where(z >= 0, CODES["spike"], CODES["drop"]).astype(np.int8)
    low, high = calibration.seen[:, :1], calibration.seen[:, 1:]
    shape = found.evidence["shape"] > np.maximum(now, found.evidence["mean"])
    out[shape & (space >= low) & (space <= high)] = CODES["contextual"]
    half = max(SHIFT_BUCKETS, windows.block // 2)
    newer, older = _one_sided(z, half), np.zeros_like(z)
    older[:, half:] = newer[:, :-half]
    shifted = (np.abs(older) >= SHIFT_LEAST) & (np.sign(older) == np.sign(newer)) & (np.abs(newer) >= SHIFT_LEAST)
    out[shifted] = CODES["level_shift"]
    out[shifted & (np.abs(newer) >= RAMP_RATIO * np.abs(older))] = CODES["ramp"]
    joint = np.maximum(now, together)
    for name, kind in _ALONE.items():
        part = found.evidence.get(name)
        if part is not None:
            # zeros where many were expected are silence, however far below the expectation they lie besides
            louder = (part >= CERTAIN_SILENCE) if name == "silence" else (part > joint)
            out[louder] = CODES[kind]
            joint = np.maximum(joint, part)
    return out


def _one_sided(z: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(N, T) mean of the last `width` residuals where all lie on one side, else 0."""
    return np.where(np.abs(running(np.sign(z), width)) >= width, running(z, width) / width, 0.0)
