"""The kinds of generated sources, by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError
from driftline.generator.access_log import AccessLog, AccessLogOptions
from driftline.generator.smoke_event import SmokeEvent, SmokeEventOptions
from driftline.generator.web_requests import WebRequests, WebRequestsOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from driftline.generator.base import Generated

KINDS = ("access_log", "smoke_event", "web_requests")


def open_source(
    kind: str,
    seed: int,
    start: datetime,
    days: float,
    options: Mapping[str, Any] | None = None,
    *,
    where: str = "generator options",
) -> Generated:
    """A generator, ready to give its documents and its truth.

    Args:
        kind: One of `KINDS`.
        seed: The same seed (and the rest) gives the same bytes.
        start: The first moment of day 0; seconds are cut off.
        days: How many days, also a fraction.
        options: What the kind's options model takes.
        where: What to name in a message about wrong options.

    Raises:
        DefinitionError: An unknown kind, or options that do not say what they must.
        WindowError: Days or seed out of range.
    """
    if kind == AccessLog.kind:
        return AccessLog(seed, start, days, AccessLogOptions.parse(options or {}, where=where))
    if kind == SmokeEvent.kind:
        return SmokeEvent(seed, start, days, SmokeEventOptions.parse(options or {}, where=where))
    if kind == WebRequests.kind:
        return WebRequests(seed, start, days, WebRequestsOptions.parse(options or {}, where=where))
    near = difflib.get_close_matches(kind, KINDS, n=1)
    raise DefinitionError(
        f"unknown generator '{kind}'",
        where=where,
        expected=" or ".join(KINDS),
        fix=f"Did you mean '{near[0]}'?" if near else "",
    )
