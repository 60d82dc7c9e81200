"""One of several processes that answer: `python -m layerproof.server.process SOCKET…`, started by
`layerproof serve`, which bound the sockets."""

import os
import socket
import sys

from layerproof.config import settings
from layerproof.server.run import answer
from layerproof.service_config import load_service_config


def main() -> int:
    """Until a signal ends it; the exit code."""
    sockets = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
    given = settings(os.environ)
    config = load_service_config(given.service_config)
    return answer(given, config, sockets, log_json=os.environ.get("LAYERPROOF_LOG_JSON") == "1")


if __name__ == "__main__":
    sys.exit(main())
