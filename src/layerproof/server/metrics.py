"""What Prometheus is told. One registry per process; `serve` with several processes adds them up by
prometheus-client's files (PROMETHEUS_MULTIPROC_DIR)."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Every number that the service counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "layerproof_http_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "layerproof_http_request_seconds",
            "Time to answer, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decisions = Counter(
            "layerproof_decisions",
            "Decisions by outcome and gate.",
            ["decision", "gate"],
            registry=self.registry,
        )
        self.gates = Counter(
            "layerproof_gate_answers",
            "Answers of gates: what was done, what the policy decided, and whence that came.",
            ["gate", "decision", "decided", "cause"],
            registry=self.registry,
        )
        self.events = Counter(
            "layerproof_events",
            "Events that were reported, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.left_out = Counter(
            "layerproof_notifications_left_out",
            "Reports that make no event, by what they were.",
            ["what"],
            registry=self.registry,
        )
        self.refused = Counter(
            "layerproof_notifications_refused",
            "Reports that were not accepted, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.jobs = Gauge(
            "layerproof_jobs",
            "Jobs that wait or run.",
            ["state"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

    def text(self) -> bytes:
        """In Prometheus' exposition format."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
            return generate_latest(registry)
        return generate_latest(self.registry)
