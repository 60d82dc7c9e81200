"""Whether the service in this container answers: exit code 0 or 1, the reason on standard error.

1. It is asked where LAYERPROOF_LISTEN says, by TLS where it speaks TLS; an address that means all
   addresses is reached by loopback.
2. The certificate is not checked: it is for the name that others know, and nobody stands between a
   process and its own loopback address. Nothing secret is sent.
3. /healthz, not /readyz: a service whose database is away is not made better by a restart.
"""

import os
import ssl
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection

_SECONDS = 4
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def address(environ: Mapping[str, str]) -> tuple[str, int, bool]:
    """Host, port, and whether it speaks TLS."""
    listen = environ.get("LAYERPROOF_LISTEN") or "127.0.0.1:8686"
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    return _ANY.get(host, host), int(port), bool(environ.get("LAYERPROOF_TLS_CERT"))


def connection(host: str, port: int, tls: bool) -> HTTPConnection:
    """To the service; nothing is sent yet."""
    if not tls:
        return HTTPConnection(host, port, timeout=_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def main() -> int:
    """The exit code."""
    try:
        asked = connection(*address(os.environ))
        asked.request("GET", "/healthz")
        status = asked.getresponse().status
    except (OSError, HTTPException, ValueError) as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"answered {status}", file=sys.stderr)
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
