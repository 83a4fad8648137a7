"""What one check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict = Literal["pass", "warn", "stop", "skipped"]
MAX_SAMPLE = 10


@dataclass(frozen=True)
class CheckResult:
    """One check of one run.

    Attributes:
        name: The check, as the settings call it.
        expectation: The great-expectations type behind it.
        verdict: pass, warn, stop, or skipped (with the reason in `message`).
        observed: What was found, in words.
        expected: What was wanted, in words.
        message: One plain sentence.
        failed: How many rows, buckets or series failed.
        sample: Some of them.
    """

    name: str
    expectation: str
    verdict: Verdict
    observed: str
    expected: str
    message: str
    failed: int = 0
    sample: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON data."""
        return asdict(self)


def worst(results: Iterable[CheckResult]) -> Literal["pass", "warn", "stop"]:
    """The verdict over several checks: the most severe one."""
    verdicts = {result.verdict for result in results}
    return "stop" if "stop" in verdicts else "warn" if "warn" in verdicts else "pass"


def shorten(value: object) -> str:
    """A value for a sample: never longer than a line."""
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
