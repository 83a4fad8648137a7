"""Why a short-term signature is far from the long-term one: one sentence, and what contributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.results import number, readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.signature import Signatures
    from driftline.signatures.model import Learned
    from driftline.signatures.score import Scored

    Matrix = NDArray[np.float64]

TOLD = 3  # stretches of hours, or values, that are told
MATTERS = 2.0  # −log10 of the probability from which on an aspect is told of beside the first


def why(signatures: Signatures, learned: Learned, scored: Scored, row: int) -> dict[str, Any]:
    """What is to be told of one entity; `scored` with its parts.

    Returns:
        `sentence`, `aspect`, `aspects` (each with `surprise`, `said`, and what it was and is), `group`, `group_now`.
    """
    told: list[dict[str, Any]] = []
    for place in np.argsort(-scored.each[:, row], kind="stable").tolist():
        name, surprise = scored.aspects[place], float(scored.each[place, row])
        if not told or surprise >= MATTERS:
            about = _aspect(signatures, learned, scored, row, name)
            told.append({"aspect": name, "surprise": number(surprise, 4), **about})
    group, now = int(learned.group[row]), int(scored.group[row])
    sentence = " ".join(each["said"] for each in told)
    if group != now:
        sentence += f" It now is most like group {now + 1} (before: group {group + 1})."
    return {"sentence": sentence, "aspect": told[0]["aspect"], "aspects": told, "group": group + 1, "group_now": now + 1}


def _aspect(signatures: Signatures, learned: Learned, scored: Scored, row: int, name: str) -> dict[str, Any]:
    found = scored.deviation
    if name == "level":
        return _level(signatures, float(found.actual[row]), float(found.expected[row]))
    if name == "shape":
        return _shape(found.parts["shape"][row])
    if name == "mix":
        return _mix(signatures, learned, found.parts["mix"][row])
    feature = int(name.rpartition(" ")[2])
    spec = signatures.measured[feature]
    was, now = float(learned.features[row, feature, 0]), float(found.features[row, feature])
    if spec.metric == "sum":
        was, now = (float(np.sign(each) * np.expm1(abs(each))) for each in (was, now))
    said = f"{spec.name} is {readable(now)} instead of about {readable(was)}."
    return {"said": said, "actual": number(now), "typical": number(was)}


def _level(signatures: Signatures, actual: float, expected: float) -> dict[str, Any]:
    days = round(signatures.span.total_seconds() / 86_400)
    within = f"in {days} days" if days > 1 else "in a day"
    if actual == 0:
        said = f"Nothing {within}; about {readable(round(expected, 1))} is usual."
    else:
        more = actual > expected
        times = max(actual, expected) / max(min(actual, expected), 0.1)
        compared = f"{readable(round(times, 1))} times {'more' if more else 'fewer'}"
        said = f"{readable(actual)} {within} instead of about {readable(round(expected, 1))}, {compared}."
    return {"said": said, "actual": number(actual), "typical": number(expected)}


def _shape(parts: Matrix) -> dict[str, Any]:
    """The stretches of the day that hold more, and less, than its share."""
    least = min(1.0, float(np.abs(parts).max()))  # where many slots do little each, the largest is told
    more, less = (_stretches(np.maximum(sign * parts, 0.0), least) for sign in (1, -1))
    said = [f"{word} {', '.join(found)}" for word, found in (("more", more), ("less", less)) if found]
    return {"said": f"Other hours: {'; '.join(said)}.", "more": more, "less": less}


def _stretches(parts: Matrix, least: float) -> list[str]:
    """`workdays 02–06`: runs of neighbouring slots that contribute at least a fifth of the slot that does most."""
    slots = len(parts) // 2
    minutes = round(1440 / slots)
    found = []
    for number_, day in enumerate(("workdays", "weekends")):
        strong = parts[number_ * slots : (number_ + 1) * slots]
        inside = (strong > 0) & (strong >= max(parts.max() / 5, least))
        for first, last in _runs(inside):
            weight = sum(strong[place % slots] for place in range(first, last))
            when = "all day" if last - first == slots else f"{_clock(first * minutes)}–{_clock(last * minutes)}"
            found.append((-float(weight), f"{day} {when}"))
    return [text for _, text in sorted(found)[:TOLD]]


def _runs(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of a circle, a gap of one slot among them: the first, and the one after the last."""
    size = len(inside)
    filled = inside | (np.roll(inside, 1) & np.roll(inside, -1))
    if filled.all():
        return [(0, size)]
    starts = np.flatnonzero(filled & ~np.roll(filled, 1))
    runs = []
    for start in starts.tolist():
        end = start
        while filled[end % size]:
            end += 1
        runs.append((start, end))
    return runs


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _mix(signatures: Signatures, learned: Learned, parts: Matrix) -> dict[str, Any]:
    values = mix_names(learned)
    order = np.argsort(-np.abs(parts), kind="stable")[:TOLD].tolist()
    more, less = ([values[place] for place in order if sign * parts[place] > 0] for sign in (1, -1))
    said = [f"{word} {', '.join(found)}" for word, found in (("more", more), ("less", less)) if found]
    return {"said": f"Other {signatures.mix}: {'; '.join(said)}.", "more": more, "less": less}


def mix_names(learned: Learned) -> list[str]:
    """What the columns of the mix are called."""
    return [*learned.facts.get("mix", []), "(others)"]
