"""Whence an address is: the operator's own networks first, then any mmdb that the operator names.

Source: MaxMind DB File Format Specification 2.0. Databases differ in what they call a country:
`country.iso_code` (MaxMind, DB-IP), `country_code`, or `country`, a code or a name (IPinfo).
"""

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from layerproof.errors import UsageError

_log = logging.getLogger(__name__)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """A network of the operator's, by the name that it has there."""

    network: _Network
    name: str


class Networks:
    """Looks up addresses; safe for threads. `database`: an mmdb file. Raises UsageError."""

    def __init__(self, own: Sequence[OwnNetwork] = (), database: Path | None = None) -> None:
        # the narrowest network that holds an address names it
        self._own = sorted(own, key=lambda item: item.network.prefixlen, reverse=True)
        self._reader = None if database is None else _open(database)
        self._look = lru_cache(maxsize=10_000)(self._whence)

    def country_of(self, address: str) -> str:
        """Of `ip`, `ip:port` or `[ip]:port`; "" if nobody knows."""
        return self._look(address)

    def _whence(self, text: str) -> str:
        address = parse_address(text)
        if address is None:
            return ""
        for item in self._own:
            if address.version == item.network.version and address in item.network:
                return item.name
        if self._reader is None:
            return ""
        try:
            return _country(self._reader.get(str(address)))
        except ValueError:  # an IPv6 address in a database of IPv4 ones
            return ""
        except RuntimeError as error:  # maxminddb.InvalidDatabaseError is one
            # Whence somebody came is worth less than that he came: the event is kept.
            _log.error("the address database is damaged: %s", error)
            return ""


def parse_address(text: str) -> _Address | None:
    """The address in `ip`, `ip:port` or `[ip]:port`; an IPv4 address mapped into IPv6 is itself."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def _country(record: Any) -> str:
    if not isinstance(record, Mapping):
        return ""
    country = record.get("country") or record.get("registered_country")
    named = country.get("iso_code") if isinstance(country, Mapping) else country
    for found in (named, record.get("country_code")):
        if isinstance(found, str) and len(found) == 2 and found.isascii() and found.isalpha():
            return found.upper()
    return ""


def _open(database: Path) -> Any:
    import maxminddb  # here: only where a database is named

    try:
        return maxminddb.open_database(str(database))
    except (OSError, maxminddb.InvalidDatabaseError, ValueError) as error:
        raise UsageError(
            f"the address database cannot be read: {error}",
            where=str(database),
            remedy="name an mmdb file, such as GeoLite2-Country.mmdb, or leave `geoip` out",
        ) from error
