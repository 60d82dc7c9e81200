"""Real images and real servers, started once; a test that lacks one is skipped with the reason."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import (
    CannotStartError,
    DockerEngine,
    Registry,
    docker_engine,
    registry,
)
from tests.e2e.real_images import CannotBuildError, RealImages, real_images

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def images() -> RealImages:
    """Debian, apt, Python, Node and changed images, packed by umoci."""
    try:
        return real_images()
    except CannotBuildError as error:
        pytest.skip(f"real images cannot be built here: {error}")


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="lp-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def open_registry(short_folder: Path) -> Iterator[Registry]:
    """A registry that asks for nothing."""
    try:
        with registry(short_folder / "registry") as running:
            yield running
    except CannotStartError as error:
        pytest.skip(f"no registry: {error}")


@pytest.fixture(scope="session")
def closed_registry(short_folder: Path) -> Iterator[Registry]:
    """A registry that wants a password for everything."""
    try:
        with registry(short_folder / "closed", "alice", PASSWORD) as running:
            yield running
    except CannotStartError as error:
        pytest.skip(f"no registry with passwords: {error}")


@pytest.fixture(scope="session")
def engine(short_folder: Path) -> Iterator[DockerEngine]:
    """A Docker Engine."""
    try:
        with docker_engine(short_folder / "docker") as running:
            yield running
    except CannotStartError as error:
        pytest.skip(f"no Docker Engine: {error}")
