"""`layerproof serve` with several processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.daemons import accepts, free_port
from tests.e2e.service import clean, service, until


def test_processes_whose_parent_was_killed_give_the_address_back(tmp_path: Path) -> None:
    with service(tmp_path, None, "--processes", "2") as running:
        port = urlsplit(running.url).port
        assert port is not None
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait(30)
        until(lambda: not accepts(socket.AF_INET, ("127.0.0.1", port)))


def test_a_database_that_is_away_is_told_at_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "layerproof.cli.main", "serve", "--listen", "127.0.0.1:0"]
    url = f"postgresql://layerproof@127.0.0.1:{free_port()}/layerproof"
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--index", url], stderr=out, env=clean({"XDG_DATA_HOME": str(tmp_path)})
        )
        try:
            until(lambda: "not ready yet" in log.read_text())
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(60)
