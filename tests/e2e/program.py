"""The installed program, run as people run it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from layerproof.feeds.build import Feed, build
from layerproof.testing.advisories import ECOSYSTEMS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    code: int
    output: str
    complaints: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The last line of standard error as the document of an error."""
        found: dict[str, Any] = json.loads(self.complaints.splitlines()[-1])
        return found


@dataclass(frozen=True, slots=True)
class Program:
    """`layerproof` with one index and one environment."""

    index: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def knows_no_vulnerability(self) -> None:
        """An advisory file that speaks for every ecosystem, as of now, and lists nothing."""
        now = datetime.now(UTC)
        feed = Feed("nothing", "a test", lambda: (), as_of=now, covers=ECOSYSTEMS)
        build(self.index.with_name("advisories.db"), [feed], now)

    def command(self, *arguments: str) -> list[str]:
        """The command line, output as JSON."""
        options = ("--index", str(self.index), "--output", "json")
        return [sys.executable, "-m", "layerproof.cli.main", *arguments, *options]

    def variables(self) -> dict[str, str]:
        """The caller's environment without what would change the outcome, and our own."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LAYERPROOF_", "DOCKER_"))
        }
        return {**clean, **self.environment}

    def run(self, *arguments: str) -> Outcome:
        """Run to the end."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def indexed(self, reference: str) -> dict[str, Any]:
        """Index an image; its document. Fails the test when that fails."""
        outcome = self.run("index", reference)
        assert outcome.code == 0, outcome.complaints
        (document,) = outcome.documents
        return document


def chain_ids(document: Mapping[str, Any]) -> list[str]:
    """Lowest first."""
    return [layer["chainId"] for layer in document["layers"]]
