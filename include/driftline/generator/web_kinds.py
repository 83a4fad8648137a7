"""What visitors, attackers and broken clients of the generated web application do, as mixtures of behaviours that overlap."""

from __future__ import annotations

from dataclasses import dataclass

from driftline.generator import catalogue
from driftline.generator.catalogue import API, ASSET, DOWNLOAD, FORM, PAGE, Agent

NORMAL, STUFFING, EXFILTRATION, SCANNER, BROKEN = (
    "normal", "credential_stuffing", "data_exfiltration", "scanner", "broken_client",
)  # fmt: skip
KINDS = (NORMAL, STUFFING, EXFILTRATION, SCANNER, BROKEN)
"""The values of `tag`."""

AGENTS: list[Agent] = [
    *catalogue.AGENTS,
    Agent("okhttp/4.12.0", "okhttp", "Android", "Other", 0),
    Agent("ShopApp/5.2.1 (Android 14)", "ShopApp", "Android", "Other", 0),
    Agent("Go-http-client/1.1", "Go-http-client", "Other", "Other", 0),
    Agent("Mozilla/5.0 zgrab/0.x", "zgrab", "Other", "Other", 0),
]
"""Those of the access log, and programs that only this site sees."""

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
USUAL = "usual"  # the browser that the client always has

DURATIONS: dict[int, tuple[float, float]] = {
    PAGE: (85, 0.7),
    API: (38, 0.9),
    ASSET: (6, 0.6),
    FORM: (140, 0.6),
    DOWNLOAD: (30, 0.6),
}
"""Median milliseconds until the answer begins, and the spread of their logarithm, for each kind of endpoint."""

HOURS: dict[str, tuple[float, float]] = {
    NORMAL: (15, 0.8), STUFFING: (3, 0.6), EXFILTRATION: (2, 0.7), SCANNER: (0, 0.1), BROKEN: (11, 0.6),
}  # fmt: skip
"""The hour (UTC) of the most requests, and how deep the daily rhythm is."""

Answers = tuple[tuple[str, int, float], ...]
Weighted = tuple[tuple[str, float], ...]
Size = tuple[float, float]  # median, and the spread of the logarithm


@dataclass(frozen=True)
class Behaviour:
    """One thing that somebody does.

    Attributes:
        kind: Whose behaviour it is, one of `KINDS`.
        weight: Its share among the behaviours of the kind.
        paths: Paths with their weights; none: the site's own endpoints by their popularity.
        only: Of the site's endpoints, those of these kinds; none: all.
        answers: Method, status and weight; none: as the endpoint answers everybody.
        response, request: Bytes of the bodies; None: as the endpoint's.
        duration: Milliseconds until the answer begins; None: as the endpoint's.
        agents: Names of programs with their weights, `USUAL` among them.
        referrer: The share of requests that come with a referrer.
        user: The share of requests in which somebody is signed in, or tries to be.
        strangers: The share of requests from the few clients that this kind has taken over; the rest is anybody.
    """

    kind: str
    weight: float
    paths: Weighted = ()
    only: tuple[int, ...] = ()
    answers: Answers = ()
    response: Size | None = None
    request: Size | None = None
    duration: Size | None = None
    agents: Weighted = ((USUAL, 1.0),)
    referrer: float = 0.6
    user: float = 0.35
    strangers: float = 0.0


LOGIN: Weighted = (("/login", 9), ("/api/v1/sessions", 3), ("/account", 1))
EXPORTS: Weighted = (
    ("/api/v1/orders/export", 5), ("/api/v1/profile/export", 3), ("/downloads/catalogue.pdf", 2), ("/api/v1/orders", 2),
)  # fmt: skip
UPLOADS: Weighted = (("/api/v1/reviews", 3), ("/api/v1/profile/picture", 4), ("/contact", 1))
LOST: Weighted = (
    ("/favicon.ico", 5), ("/apple-touch-icon.png", 4), ("/blog/2019/summer", 3), ("/products/old", 3), ("/index.php", 1.5),
    ("/admin", 1.5), ("/.well-known/security.txt", 1), ("/wp-content/logo.png", 1), ("/sitemap.xml", 1), ("/backup", 0.5),
)  # fmt: skip
"""What links, browsers and staff ask for that is not there, or not for them."""
PROBED: Weighted = (
    ("/wp-login.php", 4), ("/.env", 4), ("/admin", 4), ("/.git/config", 3), ("/phpmyadmin/", 2), ("/index.php", 3),
    ("/backup", 2), ("/wp-content/logo.png", 1.5), ("/sitemap.xml", 1.5), ("/cgi-bin/status", 1),
    ("/.well-known/security.txt", 1), ("/server-status", 1), ("/favicon.ico", 2), ("/products/old", 1),
)  # fmt: skip
FAILED: Answers = (
    ("GET", 400, 18), ("POST", 400, 10), ("POST", 409, 6), ("POST", 422, 10), ("GET", 429, 18), ("GET", 500, 8), ("POST", 500, 6),
    ("GET", 503, 14), ("PUT", 404, 4), ("GET", 200, 10),
)  # fmt: skip
REFUSED: Answers = (("POST", 401, 84), ("POST", 403, 5), ("POST", 429, 6), ("POST", 302, 3), ("POST", 200, 2))
SCRIPTS: Weighted = (("Python Requests", 3), ("curl", 2), ("Go-http-client", 1))


def _mostly(usual: float, others: Weighted) -> Weighted:
    """The usual browser with this share, the rest among the others."""
    total = sum(weight for _, weight in others)
    return ((USUAL, usual), *((name, (1 - usual) * weight / total) for name, weight in others))


APP: Weighted = (("ShopApp", 3), ("okhttp", 2))

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(NORMAL, 0.868),
    Behaviour(NORMAL, 0.07, only=(API,), agents=_mostly(0, APP), referrer=0, user=0.8),
    Behaviour(NORMAL, 0.02, only=(API, PAGE), agents=_mostly(0, SCRIPTS), referrer=0, user=0.3),
    Behaviour(NORMAL, 0.008, LOGIN, answers=REFUSED, response=(760, 0.3), request=(92, 0.2), duration=(150, 0.5),
              agents=_mostly(0.9, (("ShopApp", 1), ("Python Requests", 0.5))), referrer=0.7, user=1),
    Behaviour(NORMAL, 0.012, LOST, answers=(("GET", 404, 84), ("GET", 403, 5), ("GET", 302, 6), ("GET", 200, 4),
                                            ("HEAD", 404, 4)),
              response=(700, 0.35), request=(1, 0), duration=(9, 0.7), agents=_mostly(0.88, SCRIPTS), referrer=0.35, user=0.1),
    Behaviour(NORMAL, 0.007, EXPORTS, answers=(("GET", 200, 90), ("GET", 206, 10)), response=(260_000, 1.1), request=(1, 0),
              duration=(220, 0.8), agents=_mostly(0.8, SCRIPTS), referrer=0.5, user=0.9),
    Behaviour(NORMAL, 0.004, UPLOADS, answers=(("POST", 201, 8), ("POST", 200, 2)), response=(500, 0.3), request=(90_000, 1.0),
              duration=(160, 0.7), agents=_mostly(0.75, APP), referrer=0.6, user=0.9),
    Behaviour(NORMAL, 0.011, only=(API,), answers=FAILED, response=(420, 0.4), duration=(30, 1.1), agents=_mostly(0.55, APP),
              referrer=0.2, user=0.6),

    Behaviour(STUFFING, 0.82, LOGIN, answers=REFUSED, response=(720, 0.25), request=(88, 0.15), duration=(120, 0.4),
              agents=_mostly(0.62, SCRIPTS), referrer=0.3, user=1, strangers=0.7),
    Behaviour(STUFFING, 0.1, (("/login", 1),), answers=(("GET", 200, 1),), duration=(60, 0.5),
              agents=_mostly(0.62, SCRIPTS), referrer=0.2, user=0, strangers=0.7),
    Behaviour(STUFFING, 0.08, only=(PAGE, FORM), referrer=0.5, user=0.3, strangers=0.7),

    Behaviour(EXFILTRATION, 0.6, EXPORTS, answers=(("GET", 200, 85), ("GET", 206, 15)), response=(1_100_000, 0.9), request=(1, 0),
              duration=(260, 0.8), agents=_mostly(0.55, SCRIPTS), referrer=0.25, user=0.85, strangers=0.6),
    Behaviour(EXFILTRATION, 0.25, UPLOADS, answers=(("POST", 201, 7), ("POST", 200, 3)), response=(480, 0.3),
              request=(420_000, 1.0), duration=(180, 0.7), agents=_mostly(0.55, SCRIPTS), referrer=0.3, user=0.85, strangers=0.6),
    Behaviour(EXFILTRATION, 0.15, only=(API, DOWNLOAD), agents=_mostly(0.6, SCRIPTS), referrer=0.3, user=0.8, strangers=0.6),

    Behaviour(SCANNER, 0.72, PROBED,
              answers=(("GET", 404, 76), ("HEAD", 404, 6), ("GET", 403, 9), ("POST", 404, 3), ("GET", 400, 2), ("GET", 200, 3),
                       ("GET", 500, 1)),
              response=(640, 0.35), request=(1, 0), duration=(7, 0.6), agents=_mostly(0.5, (*SCRIPTS, ("zgrab", 4))),
              referrer=0.06, user=0, strangers=0.7),
    Behaviour(SCANNER, 0.13, answers=(("OPTIONS", 200, 2), ("HEAD", 200, 4), ("GET", 404, 2), ("OPTIONS", 403, 1)),
              duration=(12, 0.7), agents=_mostly(0.5, (*SCRIPTS, ("zgrab", 2))), referrer=0.06, user=0, strangers=0.7),
    Behaviour(SCANNER, 0.15, only=(PAGE, ASSET, FORM), referrer=0.25, user=0.05, strangers=0.7),

    Behaviour(BROKEN, 0.78, only=(API,), answers=FAILED, response=(380, 0.4), duration=(13, 0.8), agents=_mostly(0.25, APP),
              referrer=0.08, user=0.6, strangers=0.5),
    Behaviour(BROKEN, 0.22, only=(API,), agents=_mostly(0.25, APP), referrer=0.08, user=0.7, strangers=0.5),
)  # fmt: skip
"""All that is done on the site. What each kind does, others do, too, only not as often: no rule tells them apart for sure."""
