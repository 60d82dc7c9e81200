"""The worker inside `serve`: it does not stay away, and one job does not take all of it."""

import threading

from layerproof.server.run import keep_working, own_slots


def test_a_worker_that_dies_is_started_again_until_it_is_to_stop() -> None:
    stop, begun = threading.Event(), []

    def work() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise RuntimeError("a defect")
        if len(begun) == 3:  # the second one only ended
            stop.set()

    keep_working(work, stop)
    assert len(begun) == 3


def test_a_job_that_drips_leaves_another_slot() -> None:
    assert own_slots() >= 2
