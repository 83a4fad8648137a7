"""Where an address is, from a MaxMind database that the user supplies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import maxminddb

from driftline.core.errors import DataError


class Places:
    """A database of places (GeoLite2 City or Country, or any of that shape).

    Args:
        path: The .mmdb file.

    Raises:
        DataError: The file is missing or no such database.
    """

    def __init__(self, path: str) -> None:
        try:
            self._reader = maxminddb.open_database(Path(path))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise DataError(
                f"the geographic database cannot be used: {error}",
                where=path,
                expected="a MaxMind database (.mmdb)",
                fix="Correct files.geoip, or leave it out.",
            ) from None

    def find(self, address: str) -> dict[str, Any]:
        """`source.geo.*` of an address; nothing where the database does not know it."""
        try:
            entry: Any = self._reader.get(address)
        except ValueError:  # an IPv6 address, and a database that has only IPv4
            return {}
        if not isinstance(entry, dict):
            return {}
        region = (entry.get("subdivisions") or [{}])[0]
        place = entry.get("location") or {}
        found = {
            "source.geo.continent_code": (entry.get("continent") or {}).get("code"),
            "source.geo.country_iso_code": (entry.get("country") or {}).get("iso_code"),
            "source.geo.country_name": _english(entry.get("country")),
            "source.geo.region_name": _english(region),
            "source.geo.city_name": _english(entry.get("city")),
            "source.geo.timezone": place.get("time_zone"),
        }
        if "latitude" in place and "longitude" in place:
            found["source.geo.location"] = {"lat": place["latitude"], "lon": place["longitude"]}
        return {name: value for name, value in found.items() if value is not None}


def _english(part: Any) -> Any:  # noqa: ANN401 - whatever the database holds
    return ((part or {}).get("names") or {}).get("en")
