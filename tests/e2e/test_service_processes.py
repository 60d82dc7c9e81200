"""`layerproof serve` with several processes."""

import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.daemons import accepts
from tests.e2e.service import service, until


def test_processes_whose_parent_was_killed_give_the_address_back(tmp_path: Path) -> None:
    with service(tmp_path, None, "--processes", "2") as running:
        port = urlsplit(running.url).port
        assert port is not None
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait(30)
        until(lambda: not accepts(socket.AF_INET, ("127.0.0.1", port)))
