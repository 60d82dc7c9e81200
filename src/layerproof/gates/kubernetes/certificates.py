"""Certificates for the webhooks: an authority of our own, and what it signs. No files, no network.

1. A certificate is renewed when a third of its life is left, the authority likewise.
2. A new authority stands before the old one in the bundle, which stays until it has ended: whoever
   knows the bundle of yesterday or of today trusts what is served now.
3. Keys are P-256; names are those by which the API server reaches the webhooks.

Source: RFC 5280; Kubernetes, "Dynamic Admission Control", "Service reference" (SERVICE.NAMESPACE.svc).
"""  # noqa: E501  because a source's name is not cut

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from layerproof.errors import UsageError

AUTHORITY_LIFE = timedelta(days=3 * 365)
CERTIFICATE_LIFE = timedelta(days=90)
_EARLIER = timedelta(hours=1)  # clocks differ
_COMMON_NAME = "layerproof-gate"


@dataclass(frozen=True, slots=True)
class Material:
    """All in PEM."""

    authorities: bytes  # the newest first
    authority_key: bytes = field(repr=False)  # of the newest
    certificate: bytes
    key: bytes = field(repr=False)


def renewed(material: Material | None, names: Sequence[str], now: datetime) -> Material:
    """What is to be used from now on; the same where nothing is due. Raises UsageError for material
    that cannot be read."""
    if not names:
        raise UsageError("a certificate needs a name", where="certificates")
    try:
        return _renewed(material, names, now)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the certificates cannot be read: {error}", where="certificates",
            remedy="delete them: they are made again",
        ) from error  # fmt: skip


def _renewed(material: Material | None, names: Sequence[str], now: datetime) -> Material:
    if material is None:
        authority, key = _new_authority(now)
        material = Material(authority, key, b"", b"")
    newest, *older = x509.load_pem_x509_certificates(material.authorities)
    if _due(newest, now):
        authority, key = _new_authority(now)
        kept = [c for c in (newest, *older) if c.not_valid_after_utc > now]
        bundle = authority + b"".join(map(_pem, kept))
        material = replace(material, authorities=bundle, authority_key=key)
    if not material.certificate or _unfit(material, names, now):
        material = _signed(material, names, now)
    return material


def _unfit(material: Material, names: Sequence[str], now: datetime) -> bool:
    found = x509.load_pem_x509_certificate(material.certificate)
    said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    here = {str(name.value) for name in said}
    authorities = x509.load_pem_x509_certificates(material.authorities)
    known = any(found.issuer == a.subject and _signs(a, found) for a in authorities)
    return _due(found, now) or here != set(names) or not known


def _signs(authority: x509.Certificate, found: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001  because the library raises what it likes for a wrong signature
        return False
    return True


def _due(found: x509.Certificate, now: datetime) -> bool:
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return found.not_valid_after_utc - now < life / 3 or now < found.not_valid_before_utc


def _new_authority(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{_COMMON_NAME} authority {now:%Y-%m-%d}")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _begun(name, name, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(made), _key_pem(key)


def _signed(material: Material, names: Sequence[str], now: datetime) -> Material:
    authority = x509.load_pem_x509_certificates(material.authorities)[0]
    signer = serialization.load_pem_private_key(material.authority_key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is of another kind")
    key = ec.generate_private_key(ec.SECP256R1())
    public = authority.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    made = (
        _begun(_name(_COMMON_NAME), authority.subject, key, now, CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return replace(material, certificate=_pem(made), key=_key_pem(key))


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(found: x509.Certificate) -> bytes:
    return found.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
