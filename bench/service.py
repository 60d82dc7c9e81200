"""The service under load on loopback: decisions by digest, and notifications written down.

    python bench/service.py

`wrk` makes the requests, on the same processors; each run lasts a few seconds and ends by itself.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e.made_image import write_image
from tests.e2e.service import Running, clean, service

SECONDS = 8
DECISION = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{body}'
"""
NOTIFICATION = """
local count = 0
local id = "{salt}" .. tostring(math.random(1000000000))
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/vnd.docker.distribution.events.v2+json"
local thread_count = 0
function setup(thread) thread_count = thread_count + 1; thread:set("number", thread_count) end
function request()
  count = count + 1
  local event = '{{"events":[{{"id":"' .. number .. "-" .. id .. count ..
    '","timestamp":"2026-01-01T00:00:00Z","action":"pull","target":{{"mediaType":' ..
    '"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","repository":"a/b"}},' ..
    '"request":{{"addr":"192.0.2.1:1"}},"actor":{{"name":"alice"}}}}]}}'
  return wrk.format(nil, nil, nil, event)
end
"""


def main() -> int:
    """Print requests per second and the 99th percentile."""
    if not shutil.which("wrk"):
        sys.stderr.write("wrk is not installed; on Debian: apt-get install wrk\n")
        return 2
    for name, processes in (("one process", "1"), ("two processes", "2")):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            with running(folder, processes) as (found, digest):
                measure(found, digest, folder, name)
    return 0


def measure(found: Running, digest: str, folder: Path, name: str) -> None:
    """Decisions by digest, then notifications."""
    body = json.dumps({"image": digest})
    asking = DECISION.format(token=found.token, body=body)
    show(f"decisions, {name}", load(found, "/decisions", asking, folder, 16))
    notifier = found.notifier("registry.example")
    telling = NOTIFICATION.format(token=notifier, digest=digest, salt=name[:3])
    show(f"notifications, {name}", load(found, "/notifications", telling, folder, 64))


@contextlib.contextmanager
def running(folder: Path, processes: str) -> Iterator[tuple[Running, str]]:
    """A service that has one image in its index, and the image's digest."""
    write_image(folder / "image", layers=10, files=50)
    environment = clean({"LAYERPROOF_INDEX": str(folder / "index.db")})
    command = [sys.executable, "-m", "layerproof.cli.main", "index", "--output", "json"]
    command.append(f"oci:{folder}/image:latest")
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    digest = json.loads(done.stdout)["manifestDigest"]
    with service(folder, None, "--processes", processes, "--workers", "0") as found:
        yield found, digest


def load(found: Running, path: str, script: str, folder: Path, connections: int) -> str:
    """wrk's report."""
    file = folder / "load.lua"
    file.write_text(script)
    command = ["wrk", "-t2", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(file)]
    command.append(f"{found.url}/api/v1{path}")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def show(what: str, report: str) -> None:
    """One line."""
    rate = re.search(r"Requests/sec:\s+(\S+)", report)
    slow = re.search(r"99%\s+(\S+)", report)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    sys.stdout.write(
        f"{what:32} {rate[1] if rate else '?':>9}/s  p99 {slow[1] if slow else '?':>8}"
        f"  refused {bad[1] if bad else 0}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
