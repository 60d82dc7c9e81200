"""Certificates are renewed before they end, and nobody who trusted yesterday's is locked out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from layerproof.errors import UsageError
from layerproof.gates.kubernetes.certificates import (
    AUTHORITY_LIFE,
    CERTIFICATE_LIFE,
    Material,
    renewed,
)

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NAMES = ("layerproof-gate.layerproof.svc", "127.0.0.1")


def trusted(material: Material, bundle: bytes, now: datetime) -> bool:
    """Whether somebody who has the bundle trusts what is served."""
    served = x509.load_pem_x509_certificate(material.certificate)
    assert served.not_valid_before_utc <= now <= served.not_valid_after_utc
    for authority in x509.load_pem_x509_certificates(bundle):
        if authority.subject == served.issuer and now <= authority.not_valid_after_utc:
            served.verify_directly_issued_by(authority)
            return True
    return False


def test_the_first_time_all_of_it_is_made() -> None:
    made = renewed(None, NAMES, NOW)
    served = x509.load_pem_x509_certificate(made.certificate)
    said = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in said} == set(NAMES)
    assert trusted(made, made.authorities, NOW)
    authority = x509.load_pem_x509_certificates(made.authorities)[0]
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert limits.ca
    assert limits.path_length == 0


def test_what_is_not_due_stays_as_it_is() -> None:
    made = renewed(None, NAMES, NOW)
    assert renewed(made, NAMES, NOW + CERTIFICATE_LIFE / 2) == made


def test_a_certificate_is_renewed_when_a_third_is_left_by_the_same_authority() -> None:
    made = renewed(None, NAMES, NOW)
    later = renewed(made, NAMES, NOW + CERTIFICATE_LIFE * 0.7)
    assert later.authorities == made.authorities
    assert later.certificate != made.certificate
    assert trusted(later, made.authorities, NOW + CERTIFICATE_LIFE * 0.7)


def test_over_ten_years_of_days_nobody_is_ever_locked_out() -> None:
    """A reader whose bundle is a day old trusts what is served; so does one who reads it now."""
    material = renewed(None, NAMES, NOW)
    before = material
    for day in range(0, 3650, 9):
        now = NOW + timedelta(days=day)
        after = renewed(material, NAMES, now)
        assert trusted(after, after.authorities, now)
        assert trusted(before, after.authorities, now) or day == 0
        if after.authorities != material.authorities:
            assert trusted(replace(after, certificate=before.certificate), after.authorities, now)
            assert len(x509.load_pem_x509_certificates(after.authorities)) == 2
        before, material = after, after


def test_a_new_authority_does_not_change_what_is_served_until_that_is_due() -> None:
    made = renewed(None, NAMES, NOW)
    now = NOW + AUTHORITY_LIFE * 0.7
    current = renewed(replace(made, certificate=b""), NAMES, now)
    assert len(x509.load_pem_x509_certificates(current.authorities)) == 2


def test_another_name_needs_another_certificate() -> None:
    made = renewed(None, NAMES, NOW)
    assert renewed(made, ("other.svc",), NOW).certificate != made.certificate


def test_material_that_does_not_fit_together_is_made_again() -> None:
    made, other = renewed(None, NAMES, NOW), renewed(None, NAMES, NOW)
    mended = renewed(replace(made, certificate=other.certificate), NAMES, NOW)
    assert trusted(mended, mended.authorities, NOW)
    assert mended.certificate != other.certificate


def test_what_cannot_be_read_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        renewed(Material(b"x", b"x", b"x", b"x"), NAMES, NOW)


def test_keys_show_in_no_text() -> None:
    made = renewed(None, NAMES, NOW)
    assert "PRIVATE" not in repr(made)
