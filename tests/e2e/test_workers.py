"""Two workers on PostgreSQL, one of them killed in the middle: every image is indexed, nothing is
lost, and no job is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.e2e.daemons import Registry
from tests.e2e.made_image import write_image
from tests.e2e.service import clean, until
from tests.postgres import fresh_database

from layerproof.config import settings
from layerproof.engine.intake import INDEX, index_job
from layerproof.model.job import JobState, Priority
from layerproof.wiring import open_stores

pytestmark = pytest.mark.real
IMAGES = 6


def worker(environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "layerproof.cli.main", "worker", "--slots", "1"]
    with log.open("ab") as out:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(environment)
        )


def test_a_worker_killed_in_the_middle_loses_nothing(
    open_registry: Registry, tmp_path: Path
) -> None:
    url = fresh_database()
    environment = clean(
        {"LAYERPROOF_INDEX": url, "LAYERPROOF_INSECURE_REGISTRIES": open_registry.host}
    )
    stores = open_stores(settings(environment))
    references = []
    for number in range(IMAGES):
        layout = tmp_path / f"image{number}"
        write_image(layout, layers=2 + number, files=400)
        name = f"docker://{open_registry.host}/workers/image{number}:1"
        subprocess.run(
            ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:latest", name],
            check=True,
            capture_output=True,
        )
        references.append(name)
    queued = [index_job(name, name, Priority.PUSHED) for name in references]
    assert stores.queue.put(queued) == IMAGES
    workers = [worker(environment, tmp_path / f"worker{n}.log") for n in range(2)]
    try:
        until(lambda: stores.queue.counts().get(JobState.RUNNING, 0) == 2)
        os.kill(workers[0].pid, signal.SIGKILL)
        workers[0].wait()

        def through() -> bool:
            assert workers[1].poll() is None, (tmp_path / "worker1.log").read_text()
            done = stores.queue.page(100, state="done").items
            return sum(job.kind == INDEX for job in done) == IMAGES and not stores.queue.counts()

        for _ in range(3):  # the dead worker's job waits again after a while
            try:
                until(through)
                break
            except AssertionError:
                continue
        jobs = stores.queue.page(100).items
        assert {job.state for job in jobs} == {JobState.DONE}, jobs
        assert stores.queue.counts() == {}
        for name in references:
            (record,) = stores.index.images_by_name(name)
            assert len(list(stores.index.verdicts(name))) >= 1
            assert record.image.reference == name
        assert len(list(stores.index.images())) == IMAGES
    finally:
        for process in workers:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
        stores.close()
