"""Signed model files: a model that is carried from one index to another.

Two lines: an ed25519 signature over the model's bytes (RFC 8032), in hexadecimal, with the name of
the form; then the model itself. A file without a signature by a key that the operator names is
refused, whatever it holds.
"""

from layerproof.errors import ModelError, UsageError
from layerproof.learning.model import MAX_BYTES

_FORM = b"layerproof-model ed25519 "


def sign(data: bytes, key: bytes) -> bytes:
    """The signed file. `key`: a private key in PEM. Raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"not a private key: {error}", remedy=_MAKE) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise UsageError("not an ed25519 key", remedy=_MAKE)
    return _FORM + found.sign(data).hex().encode() + b"\n" + data


def verified(file: bytes, public_key: bytes, where: str) -> bytes:
    """The model of a signed file. Raises ModelError, UsageError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key)
    except ValueError as error:
        raise UsageError(f"not a public key: {error}", remedy=_MAKE) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("not an ed25519 key", remedy=_MAKE)
    head, newline, data = file[: MAX_BYTES + 1024].partition(b"\n")
    if not newline or not head.startswith(_FORM):
        raise ModelError("not a signed model", where=where, remedy=_EXPORT)
    try:
        key.verify(bytes.fromhex(head[len(_FORM) :].decode("ascii")), data)
    except (InvalidSignature, ValueError) as error:
        raise ModelError(
            "the signature is not one of this key over this model", where=where, remedy=_EXPORT
        ) from error
    return data


_MAKE = "make a pair: openssl genpkey -algorithm ed25519 -out k.pem; openssl pkey -in k.pem -pubout"
_EXPORT = "write one where it was trained: layerproof learn export FILE --key key.pem"
