"""What all tests share: no network where none is needed, Hypothesis profiles, shared data."""

import os
import socket
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# Real images and real servers, for every test that asks for one.
pytest_plugins = ["tests.e2e.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent
OFFLINE = (REPOSITORY / "tests" / "unit", REPOSITORY / "tests" / "property")

# `ci` is the default: the same examples every time, so that a red run can be repeated by anybody.
# `search` looks for new ones: HYPOTHESIS_PROFILE=search.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile(
    "search",
    max_examples=2_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By file: first what takes long, while real images are built beside; then what needs them;
    last the short ones, which fill up whichever process is free."""
    stages: dict[Path, int] = {}
    for item in items:
        stage = 2 if any(item.path.is_relative_to(folder) for folder in OFFLINE) else 0
        if stage == 0 and "images" in getattr(item, "fixturenames", ()):
            stage = 1
        stages[item.path] = max(stage, stages.get(item.path, 0))
    items.sort(key=lambda item: stages[item.path])


class NetworkUsedError(Exception):
    """A unit or property test touched the network. Not an OSError, so that no code handles it."""


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise NetworkUsedError("unit and property tests use no sockets; inject a fake transport")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every way out of the process (socket pairs, as event loops use them, stay)."""
    if any(request.path.is_relative_to(folder) for folder in OFFLINE):
        for name in ("connect", "connect_ex", "bind", "sendto"):
            monkeypatch.setattr(socket.socket, name, _refuse)
        monkeypatch.setattr(socket, "getaddrinfo", _refuse)
        monkeypatch.setattr(socket, "gethostbyname", _refuse)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, odd tars and advisories that lies beside the repository."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with real images is not there")
    return folder
