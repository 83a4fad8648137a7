"""The vocabulary of the generated site: pages, visitors, browsers, answers. Invented, but shaped like real logs."""

from __future__ import annotations

from dataclasses import dataclass

PAGE, API, ASSET, FORM, DOWNLOAD = range(5)

PATHS: list[tuple[str, int]] = [
    ("/", PAGE), ("/api/v1/search", API), ("/products", PAGE), ("/api/v1/cart", API), ("/api/v1/orders", API),
    ("/static/js/app.js", ASSET), ("/static/css/site.css", ASSET), ("/checkout", FORM), ("/login", FORM),
    ("/api/v1/payments", API),
    ("/api/v1/recommendations", API), ("/api/v1/inventory", API), ("/blog", PAGE), ("/images/hero.webp", ASSET),
    ("/account", PAGE),
    ("/api/v1/sessions", API), ("/api/v1/prices", API), ("/downloads/catalogue.pdf", DOWNLOAD),
    ("/static/fonts/inter.woff2", ASSET),
    ("/products/new", PAGE), ("/api/v1/reviews", API), ("/register", FORM), ("/api/v2/search", API), ("/help", PAGE),
    ("/api/v1/shipping", API), ("/images/logo.svg", ASSET), ("/products/sale", PAGE), ("/api/v1/profile", API),
    ("/downloads/app-setup.zip", DOWNLOAD), ("/contact", FORM), ("/api/v1/notifications", API), ("/blog/archive", PAGE),
    ("/api/v1/wishlist", API), ("/static/js/vendor.js", ASSET), ("/terms", PAGE), ("/api/v1/coupons", API),
    ("/stores", PAGE),
    ("/newsletter", FORM), ("/robots.txt", ASSET), ("/health", API),
]  # fmt: skip
"""Busiest first; ranks in the default schedule of injections refer to this order."""

SECTIONS: list[tuple[str, int]] = [
    ("/products", PAGE), ("/api/v1", API), ("/blog", PAGE), ("/api/v2", API), ("/images", ASSET), ("/support", PAGE),
    ("/partners", PAGE), ("/api/internal", API), ("/forms", FORM), ("/static", ASSET),
]  # fmt: skip
NOUNS = [
    "shoes", "jackets", "lamps", "tables", "chairs", "bags", "watches", "tents", "bikes", "boots", "mugs", "books",
    "games", "tools",
    "rugs", "plants", "pens", "kites", "ropes", "maps",
]  # fmt: skip
BAD_LINK = "/promo/spring-offer.html"
BAD_LINK_REFERRER = "https://news.example.org/spring-offers"
SUSPICIOUS_IP = "203.0.113.66"  # from the block that RFC 5737 keeps for documentation: nobody's address
PROXY_IPS = [f"198.51.100.{number}" for number in range(10, 22)]  # likewise

COUNTRIES: list[tuple[str, float, float]] = [
    ("US", 0.24, -6), ("DE", 0.11, 1), ("GB", 0.09, 0), ("FR", 0.07, 1), ("IN", 0.08, 5.5), ("BR", 0.06, -3),
    ("JP", 0.06, 9),
    ("CA", 0.04, -5), ("AU", 0.03, 10), ("ES", 0.03, 1), ("IT", 0.03, 1), ("NL", 0.03, 1), ("PL", 0.02, 1),
    ("SE", 0.02, 1),
    ("MX", 0.02, -6), ("KR", 0.02, 9), ("ZA", 0.01, 2), ("SG", 0.01, 8), ("AR", 0.01, -3), ("TR", 0.01, 3),
    ("CH", 0.01, 1),
    ("LK", 0.005, 5.5), ("NZ", 0.005, 12), ("KE", 0.005, 3),
]  # fmt: skip
"""ISO code, share of the visitors, hours ahead of UTC."""


@dataclass(frozen=True)
class Agent:
    """A user agent as sent, and as ECS names its parts."""

    original: str
    name: str
    os: str
    device: str
    weight: float


_WIN, _MAC, _LINUX = "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"
_IPHONE, _ANDROID = "iPhone; CPU iPhone OS 18_6 like Mac OS X", "Linux; Android 10; K"
_BOT = "Mozilla/5.0 (compatible; "


def _chrome(system: str, rest: str = "Chrome/142.0.0.0 Safari/537.36") -> str:
    return f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {rest}"


def _firefox(system: str, version: str) -> str:
    return f"Mozilla/5.0 ({system}; rv:{version}) Gecko/20100101 Firefox/{version}"


def _safari(system: str, rest: str) -> str:
    return f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 {rest}"


AGENTS: list[Agent] = [
    Agent(_chrome(_WIN), "Chrome", "Windows", "Other", 26),
    Agent(_chrome(_MAC), "Chrome", "Mac OS X", "Mac", 9),
    Agent(_chrome(_LINUX, "Chrome/141.0.0.0 Safari/537.36"), "Chrome", "Linux", "Other", 4),
    Agent(_chrome(_WIN, "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"), "Edge", "Windows", "Other", 7),
    Agent(_firefox(_WIN, "145.0"), "Firefox", "Windows", "Other", 6),
    Agent(_firefox("X11; Ubuntu; Linux x86_64", "144.0"), "Firefox", "Ubuntu", "Other", 3),
    Agent(_safari(_IPHONE, "Mobile/15E148 Safari/604.1"), "Mobile Safari", "iOS", "iPhone", 18),
    Agent(_safari(_MAC, "Safari/605.1.15"), "Safari", "Mac OS X", "Mac", 7),
    Agent(_chrome(_ANDROID, "Chrome/142.0.0.0 Mobile Safari/537.36"), "Chrome Mobile", "Android", "K", 14),
    Agent(f"{_BOT}Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "Other", "Spider", 2.5),
    Agent(f"{_BOT}bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot", "Other", "Spider", 1.5),
    Agent("curl/8.14.1", "curl", "Other", "Other", 1),
    Agent("python-requests/2.32.5", "Python Requests", "Other", "Other", 1),
]
DOWNLOADER = 12  # the suspicious client's agent

REFERRERS: list[tuple[str, float]] = [
    ("-", 40), ("https://shop.example.com/", 22), ("https://shop.example.com/products", 14),
    ("https://www.google.com/", 12),
    ("https://shop.example.com/checkout", 4), ("https://www.bing.com/", 3), ("https://duckduckgo.com/", 2),
    ("https://blog.example.net/reviews", 2), ("https://social.example.org/", 1),
]  # fmt: skip

ANSWERS: dict[int, list[tuple[str, int, float]]] = {
    PAGE: [
        ("GET", 200, 930), ("GET", 304, 22), ("GET", 301, 8), ("GET", 302, 9), ("HEAD", 200, 8), ("GET", 404, 14),
        ("GET", 403, 3),
        ("GET", 500, 3), ("GET", 503, 1),
    ],
    API: [
        ("GET", 200, 800), ("POST", 200, 70), ("POST", 201, 50), ("PUT", 200, 14), ("DELETE", 204, 8),
        ("GET", 400, 10), ("GET", 401, 12),
        ("GET", 404, 16), ("GET", 429, 3), ("GET", 500, 5), ("POST", 500, 2), ("GET", 503, 2),
    ],
    ASSET: [("GET", 200, 790), ("GET", 304, 180), ("GET", 206, 4), ("HEAD", 200, 5), ("GET", 404, 18), ("GET", 500, 1)],
    FORM: [
        ("GET", 200, 420), ("POST", 302, 360), ("POST", 200, 130), ("POST", 400, 20), ("POST", 401, 35),
        ("POST", 403, 6), ("GET", 404, 8),
        ("POST", 500, 4), ("POST", 503, 1),
    ],
    DOWNLOAD: [("GET", 200, 860), ("GET", 206, 90), ("GET", 304, 20), ("HEAD", 200, 8), ("GET", 404, 15),
    ("GET", 500, 2)],
}  # fmt: skip
"""Method, status and how often, for each kind of endpoint."""

SIZES: dict[int, tuple[float, float]] = {
    PAGE: (14_000, 0.5),
    API: (2_400, 0.6),
    ASSET: (48_000, 0.25),
    FORM: (6_500, 0.4),
    DOWNLOAD: (120_000, 0.4),
}
"""Median bytes of a body and the spread of its logarithm, for each kind of endpoint."""
FAILURES = (500, 502, 503)  # what an endpoint answers that fails now and then
