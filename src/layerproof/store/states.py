"""The states of index and ledger where reading them takes less than handing it to a thread."""

from layerproof.engine.ledger import Ledger
from layerproof.engine.ports import Index


class StatesAtOnce:
    """Reads on the spot: for a local file, and for what is in memory."""

    def __init__(self, index: Index, ledger: Ledger) -> None:
        self._index = index
        self._ledger = ledger

    async def read(self) -> tuple[str, str]:
        """Both. Raises IndexUnavailableError."""
        return self._index.state(), self._ledger.access_state()
