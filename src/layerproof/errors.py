"""Every error that Layerproof raises on purpose: one root, one family per cause.

An error names *what* went wrong (`message`), *where* (`where`: a file, an image, a layer, an
offset) and what to do about it (`remedy`). `code` is stable and appears in machine output.
The exit code of the command line follows from the family (DESIGN.md "Reference forms").
"""

from typing import ClassVar


class LayerproofError(Exception):
    """The root. `exit_code`: 2 wrong use, 3 could not decide."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


# --- wrong use ---------------------------------------------------------------------------------


class UsageError(LayerproofError):
    """The caller asked for something that makes no sense; nothing was read."""

    code = "usage"
    exit_code = 2


class ReferenceSyntaxError(UsageError):
    """An image reference that cannot be parsed."""

    code = "bad-reference"


class PolicyError(UsageError):
    """A policy file that cannot be used. `problems` holds every problem found, not the first."""

    code = "bad-policy"

    def __init__(
        self, message: str, *, where: str = "", remedy: str = "", problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.problems = problems


class TrustError(UsageError):
    """A trust operation that cannot be done, such as revoking what was never trusted."""

    code = "bad-trust"


class EventError(UsageError):
    """Events that cannot be imported."""

    code = "bad-event"


class AccessError(UsageError):
    """A token that cannot be made or ended as was asked."""

    code = "bad-access"


class WithdrawalError(UsageError):
    """A release that cannot be done, such as of what was never withdrawn."""

    code = "bad-withdrawal"


class ReviewError(UsageError):
    """A question of the Kubernetes API server that cannot be read, or that may be read in two
    ways."""

    code = "bad-review"


# --- sources: the image could not be fetched ---------------------------------------------------


class SourceError(LayerproofError):
    """An image source did not deliver."""

    code = "source"


class ImageNotFoundError(SourceError):
    """The source is there; the image, tag, platform or blob is not."""

    code = "not-found"


class AuthenticationError(SourceError):
    """The source refused the credentials, or wanted some and none were found."""

    code = "authentication"


class UnreachableError(SourceError):
    """Network, socket or file error; trying again may help."""

    code = "unreachable"


class ProtocolError(SourceError):
    """The source answered something that its protocol does not allow."""

    code = "protocol"


class UnsupportedError(SourceError):
    """Valid, but of a kind that Layerproof refuses to guess at (schema 1, unknown media type)."""

    code = "unsupported"


# --- the bytes contradict themselves -------------------------------------------------------------


class CorruptImageError(LayerproofError):
    """The image is not what it says it is. Never a finding: the image is refused as corrupt."""

    code = "corrupt"


class DigestMismatchError(CorruptImageError):
    """Bytes whose digest differs from the one that named them."""

    code = "digest-mismatch"


class CompressionError(CorruptImageError):
    """Truncated or damaged gzip or zstd data, or data in no known format."""

    code = "bad-compression"


class ManifestError(CorruptImageError):
    """A manifest, index or config that is malformed, ambiguous or inconsistent."""

    code = "bad-manifest"


class TarError(CorruptImageError):
    """A layer tar that cannot be read. `offset`: byte offset of the header in the tar."""

    code = "bad-tar"

    def __init__(self, message: str, *, offset: int = 0, where: str = "", remedy: str = "") -> None:
        super().__init__(f"{message} (at offset {offset})", where=where, remedy=remedy)
        self.offset = offset


# --- bounds ------------------------------------------------------------------------------------


class LimitExceededError(LayerproofError):
    """A cap of `layerproof.oci.limits.Limits` was reached. `limit` is the cap's field name."""

    code = "limit-exceeded"

    def __init__(self, message: str, *, limit: str, where: str = "", remedy: str = "") -> None:
        super().__init__(
            message,
            where=where,
            remedy=remedy or f"raise it with LAYERPROOF_LIMIT_{limit.upper()} if you expect this",
        )
        self.limit = limit


# --- the index ---------------------------------------------------------------------------------


class IndexUnavailableError(LayerproofError):
    """The index cannot be opened, is locked for too long, is damaged, or its disk is full."""

    code = "index-unavailable"


class IndexVersionError(IndexUnavailableError):
    """The index was written by a newer Layerproof."""

    code = "index-version"


# --- advisories --------------------------------------------------------------------------------


class AdvisoryError(LayerproofError):
    """The advisory file, or a feed for it, cannot be read or written."""

    code = "advisories"


# --- the quarantine ----------------------------------------------------------------------------


class QuarantineError(LayerproofError):
    """The quarantine cannot be written or read."""

    code = "quarantine"


# --- the service -------------------------------------------------------------------------------


class ServiceError(LayerproofError):
    """A Layerproof service that was asked for something did not do it. `status`: of HTTP."""

    code = "service"

    def __init__(self, message: str, *, status: int = 0, where: str = "", remedy: str = "") -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.status = status


# --- across processes ----------------------------------------------------------------------------


def to_wire(error: LayerproofError) -> dict[str, object]:
    """Plain values, for another process. See `from_wire`."""
    return {"class": type(error).__name__, "args": list(error.args), **error.__dict__}


def from_wire(wire: dict[str, object]) -> LayerproofError:
    """The same error again: class, text and fields."""
    family = {cls.__name__: cls for cls in _all_errors(LayerproofError)}
    cls = family[str(wire.pop("class"))]
    error = cls.__new__(cls)
    arguments = wire.pop("args")
    error.args = tuple(arguments) if isinstance(arguments, list) else ()
    error.__dict__.update(wire)
    return error


def _all_errors(root: type[LayerproofError]) -> list[type[LayerproofError]]:
    return [root] + [found for cls in root.__subclasses__() for found in _all_errors(cls)]


# --- learned trust -------------------------------------------------------------------------------


class ModelError(LayerproofError):
    """A model of learned trust that cannot be used: another form, out of bounds, not monotone."""

    code = "bad-model"
