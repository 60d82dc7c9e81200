"""Whence an address is: own networks first, then an mmdb; what is no address is nowhere."""

import ipaddress
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerproof.errors import UsageError
from layerproof.monitors import networks as module
from layerproof.monitors.networks import Networks, OwnNetwork, parse_address

GEOIP = Path(__file__).parents[3].parent / "shared/data/geoip"
OWN = [
    OwnNetwork(ipaddress.ip_network("10.0.0.0/8"), "everywhere"),
    OwnNetwork(ipaddress.ip_network("10.1.0.0/16"), "office"),
    OwnNetwork(ipaddress.ip_network("2001:db8::/32"), "lab"),
]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:51742", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:9", "192.0.2.1"),
        ("", None),
        ("localhost", None),
        ("192.0.2.1, 198.51.100.1", None),
        ("192.0.2.999", None),
        ("[2001:db8::1", "2001:db8::1"),
        ("0x7f.1", None),
        ("127.1", None),
    ],
)
def test_an_address_is_read_with_or_without_a_port(text: str, address: str | None) -> None:
    found = parse_address(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.1.2.3:5", "office"),
        ("10.9.9.9", "everywhere"),
        ("::ffff:10.1.2.3", "office"),
        ("[2001:db8:1::1]:5", "lab"),
        ("192.0.2.1", ""),
        ("nonsense", ""),
    ],
)
def test_the_narrowest_own_network_names_an_address(address: str, name: str) -> None:
    assert Networks(OWN).country_of(address) == name


class Records:
    """A database with one record for every address."""

    def __init__(self, record: object) -> None:
        self.record = record

    def get(self, _: str) -> object:
        if isinstance(self.record, Exception):
            raise self.record
        return self.record


def looked(monkeypatch: pytest.MonkeyPatch, record: object) -> str:
    monkeypatch.setattr(module, "_open", lambda _: Records(record))
    return Networks(OWN, Path("x.mmdb")).country_of("192.0.2.1")


@pytest.mark.parametrize(
    ("record", "country"),
    [
        ({"country": {"iso_code": "NL"}}, "NL"),
        ({"registered_country": {"iso_code": "de"}}, "DE"),
        ({"country_code": "FR"}, "FR"),
        ({"country": "SE"}, "SE"),
        ({"country": "United States", "country_code": "US"}, "US"),
        ({"country": {"names": {"en": "x"}}}, ""),
        ({"country": {"iso_code": "\x1b["}}, ""),
        ({"country": {"iso_code": 7}, "country_code": ["x"]}, ""),
        ("NL", ""),
        (None, ""),
        (ValueError("IPv6 in an IPv4 database"), ""),
    ],
)
def test_both_forms_of_database_tell_a_country(
    monkeypatch: pytest.MonkeyPatch, record: Mapping[str, object], country: str
) -> None:
    assert looked(monkeypatch, record) == country


def test_a_damaged_database_loses_no_event_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import maxminddb

    with caplog.at_level(logging.ERROR):
        assert looked(monkeypatch, maxminddb.InvalidDatabaseError("data section")) == ""
    assert "damaged" in caplog.text


def _database() -> Path:
    found = sorted(GEOIP.glob("*.mmdb")) if GEOIP.is_dir() else []
    if not found:
        pytest.skip("no mmdb in ../shared/data/geoip")
    return found[0]


def test_a_real_database_knows_countries_and_own_networks_come_first() -> None:
    database = _database()
    found = Networks((), database)
    assert found.country_of("2.125.160.216:443") == "GB"
    assert found.country_of("::ffff:2.125.160.216") == "GB"
    assert found.country_of("[2001:218::1]:1") == "JP"
    assert found.country_of("127.0.0.1") == ""
    own = OwnNetwork(ipaddress.ip_network("2.125.160.0/24"), "office")
    assert Networks([own], database).country_of("2.125.160.216") == "office"


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_database_that_is_cut_off_is_an_error_that_says_what_to_do(
    tmp_path: Path, size: int
) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(_database().read_bytes()[:size])
    with pytest.raises(UsageError) as caught:
        Networks((), broken)
    assert caught.value.where == str(broken)
    assert "mmdb" in caught.value.remedy


def test_a_database_whose_data_is_damaged_loses_no_event(tmp_path: Path) -> None:
    data = bytearray(_database().read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = b"\xff" * 4000
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(data)
    found = Networks((), broken)
    for number in range(256):
        assert len(found.country_of(f"{number}.125.160.216")) in (0, 2)


def test_a_database_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Networks((), tmp_path / "none.mmdb")
