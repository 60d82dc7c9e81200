"""Does jobs in a process of its own: `python -m layerproof.server.child`, started by `children`.

A hostile image may take memory or time without end, and a job may be cancelled: a process can be
ended, a thread cannot. One JSON line in is a job; lines out tell its progress, and its end.

    {"kind": "index", "arguments": {…}}  →  {"progress": {…}} …  {"done": true} | {"error": {…}}
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TextIO

from layerproof import wiring
from layerproof.config import Settings, settings
from layerproof.engine.intake import INDEX
from layerproof.errors import LayerproofError, UsageError, to_wire
from layerproof.model.retention import Retention
from layerproof.service_config import ServiceConfig, load_service_config

POLL = "poll"
PRUNE = "prune"
PULL = "pull"
_TELL_SECONDS = 0.2  # between two lines about progress

Tell = Callable[[Mapping[str, object]], None]


def main() -> None:
    """Until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    # What analysers print by mistake must not look like a line of ours.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    jobs = _Jobs(settings(os.environ))
    try:
        for line in sys.stdin:
            _say(out, jobs.outcome(json.loads(line), _Told(out)))
    except BrokenPipeError:
        pass  # nobody wants to know any more
    finally:
        jobs.close()


class _Told:
    """Progress, not too often."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = 0.0

    def __call__(self, document: Mapping[str, object]) -> None:
        now = time.monotonic()
        if now - self._last >= _TELL_SECONDS or "verdicts" in document:
            self._last = now
            _say(self._out, {"progress": document})


class _Jobs:
    """Every kind of job, by name; connections stay open between them."""

    def __init__(self, given: Settings) -> None:
        self._settings = given
        self._config: ServiceConfig = load_service_config(given.service_config)
        self._stores = wiring.open_stores(given)
        self._kinds: Mapping[str, Callable[[Mapping[str, str], Tell], None]] = {
            INDEX: self._index,
            POLL: self._poll,
            PRUNE: self._prune,
            PULL: self._pull,
        }

    def outcome(self, job: Mapping[str, Any], tell: Tell) -> Mapping[str, object]:
        """Do it; the last line about it."""
        try:
            work = self._kinds.get(job["kind"])
            if work is None:
                raise UsageError(f"there is no work {job['kind']!r}", remedy="upgrade the worker")
            work(job["arguments"], tell)
        except LayerproofError as error:
            return {"error": to_wire(error)}
        except RecursionError as error:
            return {"error": to_wire(LayerproofError(f"nested too deeply: {error}"))}
        return {"done": True}

    def close(self) -> None:
        self._stores.close()

    def _index(self, arguments: Mapping[str, str], tell: Tell) -> None:
        stores = self._stores
        onboarding = wiring.open_onboarding(self._settings, stores.index, stores.ledger)
        try:
            onboarding.run(arguments, tell)
        finally:
            if onboarding.advisories is not None:
                onboarding.advisories.close()

    def _poll(self, arguments: Mapping[str, str], tell: Tell) -> None:
        from layerproof.engine.reconcile import look

        wanted = [item for item in self._config.registries if item.polled.host == arguments["host"]]
        intake = wiring.open_intake(
            self._stores.index, self._stores.queue, wiring.open_networks(self._config)
        )
        now = wiring.open_clock().now()
        for item in wanted:
            with wiring.open_catalog(item.polled.host, self._settings) as catalog:
                looked = look(catalog, item.polled, intake, now)
            tell(
                {
                    "repositories": looked.repositories,
                    "tags": looked.tags,
                    "newEvents": looked.accepted.events,
                    "newJobs": looked.accepted.jobs,
                    "failed": dict(looked.failed[:20]),
                    "failures": looked.failures,
                    "verdicts": [],
                }
            )

    def _prune(self, arguments: Mapping[str, str], tell: Tell) -> None:
        kept = Retention(
            **{
                name: datetime.fromisoformat(arguments[name])
                for name in ("events", "verdicts", "images")
                if name in arguments
            }
        )
        pruned = self._stores.index.prune(kept)
        jobs = 0
        if "verdicts" in arguments:
            self._stores.ledger.prune_tallies(datetime.fromisoformat(arguments["verdicts"]))
        if "jobs" in arguments:
            jobs = self._stores.queue.prune(datetime.fromisoformat(arguments["jobs"]))
        tell(
            {
                "events": pruned.events,
                "jobs": jobs,
                "images": pruned.images,
                "layers": pruned.layers,
                "verdictRecords": pruned.verdicts,
                "verdicts": [],
            }
        )

    def _pull(self, arguments: Mapping[str, str], tell: Tell) -> None:
        """Fetch what is not trusted into quarantine, and withdraw it."""
        from layerproof.report.documents import record_document

        stores = self._stores
        onboarding = wiring.open_onboarding(self._settings, stores.index, stores.ledger)
        for record in onboarding.run(arguments, tell):
            verdict = record.verdict
            reference = wiring.read_reference(verdict.reference)
            puller = wiring.open_puller(self._settings, stores.index)
            with onboarding.open_source(reference) as source:
                image = source.resolve(None)
                if image.config_digest != verdict.config_digest:
                    continue  # of another platform: its own digest pulls it
                pulled = puller.pull(
                    source,
                    image,
                    verdict,
                    json.dumps(record_document(record), indent=1).encode(),
                    by=arguments["by"],
                    reason=arguments.get("reason", ""),
                    withdraw=arguments.get("withdraw", "yes") == "yes",
                )
            tell({"pulledLayers": len(pulled.layers), "fetchedBytes": pulled.fetched,
                  "verdicts": []})  # fmt: skip


def _say(out: TextIO, document: Mapping[str, object]) -> None:
    out.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
