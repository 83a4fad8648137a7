"""Parts of a log line as fields of Elastic Common Schema, each as a piece of JSON that is made once and looked up after that.

Keys are dotted (`"url.path": …`): Elasticsearch indexes them as it does nested objects, and they can be put together from pieces.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
import ua_parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftline.sources.geo import Places

CACHED = 65_536
Fields = dict[str, Any]
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "b": "\b", "f": "\f"}
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_\-]{0,31}) (\S.*?)(?: HTTP/(\d(?:\.\d)?))?", re.DOTALL)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")  # as `ipaddress` writes it; that takes ten times as long to read it
_VERSION = ("major", "minor", "patch")


def piece(fields: Fields) -> bytes:
    """Fields as `"a":1,"b":2,` (with the comma), to be joined to a document."""
    return orjson.dumps(fields)[1:-1] + b"," if fields else b""


def unescape(text: str) -> str:
    r"""Undoes a web server's escapes (`\"`, `\\`, `\x41`) if what comes out can be read; else the text stays as it is."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_unescaped, text)
    try:
        decoded = plain.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        return text
    return decoded if decoded.isprintable() else text


def _unescaped(found: re.Match[str]) -> str:
    code, letter = found.groups()
    if code is None:
        return _SIMPLE.get(letter, letter)
    value = int(code, 16)
    return chr(value) if value < 128 else chr(0xDC00 + value)  # a byte of something in UTF-8, put together afterwards


class Pieces:
    """The pieces of JSON for one file.

    Args:
        encoding: The encoding of the text.
        places: A geographic database, or None.
    """

    def __init__(self, encoding: str, places: Places | None = None) -> None:
        self._encoding, self._places = encoding, places
        cached: Callable[[Callable[[bytes], bytes]], Callable[[bytes], bytes]] = lru_cache(CACHED)
        self.client = cached(lambda raw: piece(client_fields(self.text(raw), self._places)))
        self.request = cached(lambda raw: piece(request_fields(self.quoted(raw))))
        self.agent = cached(lambda raw: piece(agent_fields(self.quoted(raw))))
        self.referrer = cached(lambda raw: piece(known("http.request.referrer", self.quoted(raw))))
        self.user = cached(lambda raw: piece(known("user.name", self.text(raw))))

    def text(self, raw: bytes) -> str:
        r"""Bytes as text; what is not in the encoding is escaped as servers escape it: `\xe9`."""
        return raw.decode(self._encoding, "backslashreplace")

    def quoted(self, raw: bytes) -> str:
        """A quoted part without its escapes."""
        return unescape(self.text(raw))


def known(name: str, value: str) -> Fields:
    """One field, if the log knows its value."""
    return {} if value in {"", "-"} else {name: value}


def client_fields(text: str, places: Places | None = None) -> Fields:
    """`source.ip` and `source.geo.*`; a name that is no address goes to `source.address`."""
    if _IPV4.fullmatch(text):
        return {"source.ip": text} | (places.find(text) if places else {})
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return known("source.address", text)
    if getattr(address, "scope_id", None):  # fe80::1%eth0: only its own host knows where that is
        return {"source.address": text}
    return {"source.ip": str(address)} | (places.find(str(address)) if places else {})


def request_fields(text: str) -> Fields:
    """`GET /a?b=1 HTTP/1.1` as method, URL and version; anything else (binary, half a request) is kept in `url.original`."""
    if text in {"", "-"}:
        return {}
    found = _REQUEST.fullmatch(text)
    if found is None:
        return {"url.original": text}
    method, target, version = found.groups()
    fields: Fields = {"http.request.method": method}
    if version:
        fields["http.version"] = version
    return fields | url_fields(target)


def url_fields(target: str) -> Fields:
    """A request's target in its parts."""
    fields: Fields = {"url.original": target}
    if target.startswith("/"):
        path, mark, query = target.partition("?")
    elif "://" in target[:16]:
        try:
            parts = urlsplit(target)
            domain = parts.hostname
        except ValueError:
            return fields
        path, mark, query = parts.path or "/", "?" if parts.query else "", parts.query
        if domain:
            fields["url.domain"] = domain
    else:
        return fields
    fields["url.path"] = path
    if mark:
        fields["url.query"] = query
    return fields


def agent_fields(text: str) -> Fields:
    """`user_agent.*` as ua-parser sees it."""
    if text in {"", "-"}:
        return {}
    fields: Fields = {"user_agent.original": text}
    seen = ua_parser.parse(text)
    if seen.user_agent:
        fields["user_agent.name"] = seen.user_agent.family
        if version := _version(seen.user_agent):
            fields["user_agent.version"] = version
    if seen.os:
        fields["user_agent.os.name"] = seen.os.family
        if version := _version(seen.os):
            fields["user_agent.os.version"] = version
    if seen.device:
        fields["user_agent.device.name"] = seen.device.family
    return fields


def _version(part: ua_parser.OS | ua_parser.UserAgent) -> str:
    numbers = [getattr(part, name) for name in _VERSION]
    return ".".join(str(number) for number in numbers[: numbers.index(None) if None in numbers else None])


def forwarded_fields(text: str) -> Fields:
    """The first address of an `X-Forwarded-For` header, which nginx's usual format appends."""
    first = text.split(",")[0].strip()
    try:
        address = ipaddress.ip_address(first)
    except ValueError:
        return {}
    return {} if getattr(address, "scope_id", None) else {"network.forwarded_ip": str(address)}  # as in client_fields
