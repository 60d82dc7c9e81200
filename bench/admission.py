"""The Kubernetes gate under load on loopback: reviews of a pod with three containers, on SQLite.

    python bench/admission.py [--seconds 8] [--rounds 3] [--reviews 100000] [--write-docs]

`wrk` plays the API server, on the same processors. What is measured:

- hot: the same pod again and again, its images by digest, as a ReplicaSet makes them
- cold: every review is a question that was never asked before (another namespace each time)
- pin: the mutating webhook, whose tags were resolved within the last seconds
- registry down: tags of a registry that refuses connections; each is answered by the fail mode
- no-op: the same server's /healthz, which reads no body and looks nothing up

Memory is the gate's resident set, after a warm-up and after so many more reviews.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from tests.e2e.daemons import free_port, registry
from tests.e2e.made_image import write_image
from tests.e2e.service import clean, until

from measure import PAGE as PAGE_BYTES
from pages import machine, write_section
from service import Load, median_load, run_wrk

GOAL_RATE = 1000.0  # what the project promises, per second
GOAL_P99 = 20.0  # ms
CONNECTIONS = 8
WHATS = ("hot", "cold", "pin", "registry down", "no-op")
MiB = 1 << 20

SAME = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{file}", "r")
wrk.body = file:read("*a")
"""
OTHERS = """
local file = io.open("{file}", "r")
local body = file:read("*a")
local at, past = body:find("NAMESPACE", 1, true)
local head, tail = body:sub(1, at - 1), body:sub(past + 1)
local salt = "{salt}"
local count = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  count = count + 1
  return wrk.format(nil, nil, nil, head .. "n" .. salt .. count .. tail)
end
"""
INTRO = """## The Kubernetes gate

One process of `layerproof gate kubernetes serve` without TLS, with `wrk` on the same processors (8
connections): reviews of a pod with three containers of 10 layers each, 4 KB of JSON. Hot is the
same pod again, cold a question that was never asked; pin is the mutating webhook; the registry that
is down refuses connections. The no-op reads no body and looks nothing up.
"""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=100_000, help="for memory; 0: none")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    if missing := [name for name in ("wrk", "docker-registry", "skopeo") if not shutil.which(name)]:
        sys.stderr.write(f"not installed: {', '.join(missing)}\n")
        return 2
    lines = [f"{machine()}; medians of {options.rounds} runs of {options.seconds} s", ""]
    lines.append(line(("what", "rate", "p99", "CPU", "goal")))
    with tempfile.TemporaryDirectory() as text:
        lines += list(measure(Path(text), options.seconds, options.rounds, options.reviews))
    said = "\n".join(lines)
    sys.stdout.write(f"{said}\n")
    if options.write_docs:
        write_section("admission", INTRO, said)
    return 0


def line(cells: Sequence[str]) -> str:
    """Of the table."""
    return "  ".join(f"{c:<{w}}" for c, w in zip(cells, (14, 9, 10, 8, 0), strict=True)).rstrip()


def measure(folder: Path, seconds: int, rounds: int, reviews: int) -> Iterator[str]:
    """Every figure."""
    with registry(folder / "registry") as found:
        image = push(folder, found.host)
        index(folder, found.host, f"docker://{image}")
        with gate(folder, found.host) as (url, pid):
            files = write_reviews(folder, image)
            loads: dict[str, list[Load]] = {what: [] for what in WHATS}
            for number in range(rounds):
                for what in WHATS:
                    path, script = way(what, files, f"{number}")
                    warm(url + path, files, what)
                    loads[what].append(
                        run_wrk(url + path, script, folder, seconds, CONNECTIONS, pid)
                    )
            for what, listed in loads.items():
                yield line((what, *cells(what, listed)))
            if reviews:
                yield ""
                yield memory(url, files, folder, pid, reviews)


def cells(what: str, loads: Sequence[Load]) -> tuple[str, ...]:
    """Rate, p99, processor time, goal."""
    load = median_load(loads)
    met = load.rate >= GOAL_RATE and load.p99 <= GOAL_P99
    goal = "" if what != "hot" else ("ok" if met else "MISSES 1,000/s, 20 ms")
    if load.refused:
        goal += f" {load.refused} not answered"
    return f"{load.rate:,.0f}/s", f"{load.p99:.1f} ms", f"{load.cpu:.0f} µs", goal


def way(what: str, files: Mapping[str, Path], salt: str) -> tuple[str, str]:
    """Path and script."""
    if what == "no-op":
        return "/healthz", ""
    if what == "cold":
        return "/validate", OTHERS.format(file=files["cold"], salt=f"{salt}-{time.time_ns()}-")
    path = "/mutate" if what == "pin" else "/validate"
    return path, SAME.format(file=files[what])


def warm(url: str, files: Mapping[str, Path], what: str) -> None:
    """One request before the measured ones, whose answer must be the expected one."""
    if what == "no-op":
        return
    response = httpx.post(url, content=files[what].read_bytes(), timeout=30).json()["response"]
    assert response["allowed"] is (what != "registry down"), response
    assert ("patch" in response) is (what == "pin"), response


def memory(url: str, files: Mapping[str, Path], folder: Path, pid: int, reviews: int) -> str:
    """After a warm-up, and after so many more reviews."""
    _, script = way("hot", files, "")
    run_wrk(f"{url}/validate", script, folder, 5, CONNECTIONS, pid)
    before, done = resident(pid), 0
    while done < reviews:
        load = run_wrk(f"{url}/validate", script, folder, 10, CONNECTIONS, pid)
        done += int(load.rate * 10)
    after = resident(pid)
    return f"memory: {before / MiB:.0f} MiB, and {after / MiB:.0f} MiB {done:,} reviews later"


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def push(folder: Path, host: str) -> str:
    """An image of ten layers; its name with its tag."""
    write_image(folder / "image", layers=10, files=50)
    subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{folder}/image:latest",
         f"docker://{host}/team/app:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return f"{host}/team/app:1"


def variables(folder: Path, host: str) -> dict[str, str]:
    """Of index and gate."""
    return clean(
        {
            "LAYERPROOF_INDEX": str(folder / "index.db"),
            "LAYERPROOF_INSECURE_REGISTRIES": f"{host},127.0.0.1:1",
            "DOCKER_CONFIG": str(folder),
        }
    )


def index(folder: Path, host: str, reference: str) -> None:
    """Known and trusted."""
    subprocess.run(
        [sys.executable, "-m", "layerproof.cli.main", "trust", "add", reference, "-r", "bench"],
        env=variables(folder, host), check=True, capture_output=True,
    )  # fmt: skip


@contextlib.contextmanager
def gate(folder: Path, host: str) -> Iterator[tuple[str, int]]:
    """Runs inside the block; its address and process."""
    port = free_port()
    (folder / "service.yaml").write_text("kubernetes: {tagSeconds: 600}\n")
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "kubernetes", "serve"]
    command += ["--listen", f"127.0.0.1:{port}", "--config", str(folder / "service.yaml")]
    with (folder / "gate.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables(folder, host)
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(lambda: process.poll() is not None or ready())
        assert process.poll() is None, (folder / "gate.log").read_text()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


def write_reviews(folder: Path, image: str) -> dict[str, Path]:
    """A review per kind of load."""
    host, _, _ = image.partition("/")
    listed = json.loads((folder / "image/index.json").read_text())
    pinned = f"{host}/team/app@{listed['manifests'][0]['digest']}"
    wanted = {
        "hot": (pinned, "shop"),
        "cold": (pinned, "NAMESPACE"),
        "pin": (image, "shop"),
        "registry down": ("127.0.0.1:1/team/app:1", "shop"),
    }
    found = {}
    for what, (name, namespace) in wanted.items():
        found[what] = folder / f"{what.replace(' ', '-')}.json"
        # As compact as the API server writes it.
        found[what].write_text(json.dumps(review(name, namespace), separators=(",", ":")))
    return found


def review(image: str, namespace: str) -> dict[str, Any]:
    """As the API server sends one for a pod of a ReplicaSet."""
    mounts = [{"name": "token", "mountPath": "/var/run/secrets/x", "readOnly": True}]

    def container(name: str) -> dict[str, Any]:
        return {
            "name": name, "image": image, "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": f"VARIABLE_{n}", "value": "some text " * 4} for n in range(6)],
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}},
            "volumeMounts": mounts, "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        }  # fmt: skip

    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"generateName": "web-76fbf58b7d-", "namespace": namespace,
                     "labels": {"app": "web", "pod-template-hash": "76fbf58b7d"}},
        "spec": {"volumes": [{"name": "token", "projected": {"sources": []}}],
                 "initContainers": [container("prepare")],
                 "containers": [container("main"), container("side")],
                 "restartPolicy": "Always", "serviceAccountName": "default",
                 "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]},
        "status": {},
    }  # fmt: skip
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0c3331b6-1812-11ea-b3fc-02897404852e",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller",
                         "groups": ["system:serviceaccounts", "system:authenticated"]},
            "object": pod,
            "dryRun": False,
        },
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
