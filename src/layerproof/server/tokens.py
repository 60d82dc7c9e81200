"""Randomness from the system."""

import secrets

from layerproof.engine.access import ID_BYTES, SECRET_BYTES


def random_bytes() -> bytes:
    """What a token is made of."""
    return secrets.token_bytes(ID_BYTES + SECRET_BYTES)


def new_id() -> str:
    """An id that nobody has yet."""
    return secrets.token_hex(ID_BYTES)
