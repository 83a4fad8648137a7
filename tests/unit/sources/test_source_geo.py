"""Places of addresses, from a database in MaxMind's format that the test itself writes."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from driftline.core.errors import DataError

LINE = b'%b - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n'
PLACE = {
    "continent": {"code": "EU"},
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "subdivisions": [{"names": {"en": "Berlin"}}],
    "city": {"names": {"en": "Berlin"}},
    "location": {"latitude": 52.5, "longitude": 13.4, "time_zone": "Europe/Berlin"},
}


class Number:
    """A whole number of one of the format's widths."""

    def __init__(self, value, size):
        kind = {2: bytes([5 << 5 | 2]), 4: bytes([6 << 5 | 4]), 8: bytes([8, 9 - 7])}[size]
        self.raw = kind + value.to_bytes(size, "big")


def encoded(value):
    """A value in the format's data section (MaxMind DB 2.0, "Data Field Format"): short ones only."""
    if isinstance(value, str):
        raw = value.encode()
        return _head(2, len(raw)) + raw
    if isinstance(value, float):
        return _head(3, 8) + struct.pack(">d", value)
    if isinstance(value, Number):
        return value.raw
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encoded, value))
    return _head(7, len(value)) + b"".join(encoded(key) + encoded(item) for key, item in value.items())


def _head(kind, size):
    return bytes([kind << 5 | size]) if size < 29 else bytes([kind << 5 | 29, size - 29])


def database(network, place):
    """A database of one IPv4 network: one tree node for each bit of its prefix."""
    bits = f"{int(network.network_address):032b}"[: network.prefixlen]
    nodes = b""
    for number, bit in enumerate(bits, 1):
        onward = number if number < len(bits) else len(bits) + 16
        pair = [onward, len(bits)] if bit == "0" else [len(bits), onward]
        nodes += b"".join(struct.pack(">I", record)[1:] for record in pair)
    about = {
        "binary_format_major_version": Number(2, 2), "binary_format_minor_version": Number(0, 2), "build_epoch": Number(1, 8),
        "database_type": "Test", "description": {"en": "a test"}, "ip_version": Number(4, 2), "languages": ["en"],
        "node_count": Number(len(bits), 4), "record_size": Number(24, 2),
    }  # fmt: skip
    return nodes + bytes(16) + encoded(place) + b"\xab\xcd\xefMaxMind.com" + encoded(about)


@pytest.fixture
def geoip(tmp_path):
    path = tmp_path / "places.mmdb"
    path.write_bytes(database(ipaddress.ip_network("192.0.2.0/24"), PLACE))
    return str(path)


def test_an_address_that_is_known_has_its_place_and_others_have_none(read, geoip):
    outcome = read(
        b"".join(LINE % who for who in (b"192.0.2.7", b"198.51.100.7", b"2001:db8::1", b"host.example.org")), geoip=geoip
    )
    known, other, sixth, name = outcome.documents
    assert {field: value for field, value in known.items() if field.startswith("source.geo")} == {
        "source.geo.continent_code": "EU",
        "source.geo.country_iso_code": "DE",
        "source.geo.country_name": "Germany",
        "source.geo.region_name": "Berlin",
        "source.geo.city_name": "Berlin",
        "source.geo.timezone": "Europe/Berlin",
        "source.geo.location": {"lat": 52.5, "lon": 13.4},
    }
    for document in (other, sixth, name):
        assert not [field for field in document if field.startswith("source.geo")]


@pytest.mark.parametrize("content", [None, b"no database"])
def test_a_database_that_cannot_be_used_says_so(read, tmp_path, content):
    path = tmp_path / "bad.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"the geographic database cannot be used: .*files\.geoip"):
        read(LINE % b"192.0.2.7", geoip=str(path))
