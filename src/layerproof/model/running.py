"""What really runs: one container of one runtime, as the runtime tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from layerproof.model.digest import ChainId, Digest


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs. Names and labels are what somebody chose; digests are the runtime's.

    `top` is the ChainID of the file system that the container really stands on. It is None where
    the runtime cannot tell: nothing then says what runs there.
    """

    id: str
    runtime: str  # "docker", "containerd", "kubernetes"
    started_at: datetime | None  # aware, UTC
    name: str = ""
    image: str = ""  # what it was started as: a name may mean something else by now
    namespace: str = ""  # of containerd, or of Kubernetes
    identity: Digest | None = None  # the image: config, manifest or index digest
    top: ChainId | None = None
    references: tuple[str, ...] = ()  # registry references with digests, the best one first
    labels: Mapping[str, str] = field(default_factory=dict)  # the workload's, not the image's
    host: str = ""  # where it runs; "": where it is watched

    @property
    def key(self) -> str:
        """The same for the same start of the same container."""
        started = self.started_at.isoformat() if self.started_at else ""
        return f"{self.runtime} {self.namespace} {self.id} {started}"
