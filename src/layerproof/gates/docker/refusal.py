"""What the gate says of a request that it cannot, or may not, let pass."""

from layerproof.errors import LayerproofError


class RefusedError(LayerproofError):
    """A request that is refused as it is, whatever image it names."""

    code = "refused-request"

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
