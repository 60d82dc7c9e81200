"""TLS by files: a certificate that is replaced is served to new connections, those that exist stay,
and a broken one changes nothing but the log."""

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.e2e.service import service, until

pytestmark = pytest.mark.real


class Files:
    """A certificate and its key, as an operator's tool writes them: beside, then moved."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.log = folder / "service.log"

    def write(self, name: str, password: bytes | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
            )
            .sign(key, hashes.SHA256())
        )
        protection = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
        )
        self._replace(self.key, private)
        self._replace(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def break_certificate(self) -> None:
        self._replace(self.certificate, b"-----BEGIN CERTIFICATE-----\nnonsense\n")

    def _replace(self, file: Path, data: bytes) -> None:
        new = file.with_suffix(".new")
        new.write_bytes(data)
        os.replace(new, file)

    def logged(self, text: str) -> int:
        return self.log.read_text().count(text)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))


def name_at(port: int) -> str:
    with connect(port) as secured:
        return name_of(secured)


def name_of(secured: ssl.SSLSocket) -> str:
    data = secured.getpeercert(binary_form=True)
    assert data is not None
    subject = x509.load_der_x509_certificate(data).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def alive(secured: ssl.SSLSocket) -> bool:
    """Whether a request on this connection is answered."""
    secured.sendall(b"HEAD /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = secured.recv(4096)
        if not part:
            return False
        answer += part
    return answer.startswith(b"HTTP/1.1 200")


def answers_plainly(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        try:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return plain.recv(100).startswith(b"HTTP")
        except OSError:
            return False


def test_a_certificate_is_replaced_without_a_restart(files: Files, tmp_path: Path) -> None:
    files.write("one")
    given = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with service(tmp_path, {}, *given, tls=True) as running:
        port = int(running.url.rpartition(":")[2])
        with connect(port) as held:
            assert name_of(held) == "one"
            assert alive(held)
            files.write("two")
            until(lambda: name_at(port) == "two")
            assert alive(held)  # it was not dropped
            files.break_certificate()
            until(lambda: files.logged("certificate not renewed") >= 1)
            assert name_at(port) == "two"
            refused = files.logged("certificate not renewed")
            files.write("locked", b"a password that nobody gave")
            until(lambda: files.logged("certificate not renewed") > refused)
            assert name_at(port) == "two"
            files.write("three")
            until(lambda: name_at(port) == "three")
            assert alive(held)
        assert not answers_plainly(port)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with old.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as secured:
            assert secured.version() == "TLSv1.2"
    assert "PRIVATE KEY" not in files.log.read_text()
