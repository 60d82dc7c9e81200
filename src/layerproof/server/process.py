"""One of several processes that answer: `python -m layerproof.server.process PIPE SOCKET…`, started
by `layerproof serve`, which bound the sockets and holds the other end of the pipe. When that ends,
however it ends, so does this one: else it would go on at an address that a new start wants."""

import os
import signal
import socket
import sys
import threading

from layerproof.config import settings
from layerproof.server.run import answer
from layerproof.service_config import load_service_config


def main() -> int:
    """Until a signal ends it; the exit code."""
    pipe, *numbers = map(int, sys.argv[1:])
    threading.Thread(target=end_with, args=(pipe,), daemon=True).start()
    sockets = [socket.socket(fileno=number) for number in numbers]
    given = settings(os.environ)
    config = load_service_config(given.service_config)
    return answer(given, config, sockets, log_json=os.environ.get("LAYERPROOF_LOG_JSON") == "1")


def end_with(pipe: int) -> None:
    """Ask this process to end when the other end of the pipe is closed."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
