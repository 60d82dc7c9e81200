"""One image, read through every source, gives the same ChainIDs and the same rows."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.daemons import DockerEngine, Registry
from tests.e2e.program import Program, chain_ids
from tests.e2e.real_images import RealImages
from tests.e2e.rows import LEFT_OUT, QUERIES, problems, rows, tables

pytestmark = pytest.mark.real

TAGS = ("python", "node", "changed")


def copy(source: str, target: str, *options: str) -> None:
    """skopeo, the other implementation of every transport."""
    policy = ("--insecure-policy",)
    done = subprocess.run(
        ["skopeo", *policy, "copy", "--quiet", *options, source, target],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- where the image is put, and how it is read from there ----------------------------------------

Place = Callable[[pytest.FixtureRequest, RealImages, str, Path], tuple[str, dict[str, str]]]


def in_oci_archive(
    _: pytest.FixtureRequest, images: RealImages, tag: str, folder: Path
) -> tuple[str, dict[str, str]]:
    copy(f"oci:{images.layout}:{tag}", f"oci-archive:{folder}/oci.tar")
    return f"oci-archive:{folder}/oci.tar", {}


def in_docker_archive(
    _: pytest.FixtureRequest, images: RealImages, tag: str, folder: Path
) -> tuple[str, dict[str, str]]:
    copy(f"oci:{images.layout}:{tag}", f"docker-archive:{folder}/docker.tar:real:{tag}")
    return f"docker-archive:{folder}/docker.tar", {}


def in_open_registry(
    request: pytest.FixtureRequest, images: RealImages, tag: str, _: Path
) -> tuple[str, dict[str, str]]:
    server: Registry = request.getfixturevalue("open_registry")
    copy(
        f"oci:{images.layout}:{tag}",
        f"docker://{server.host}/real:{tag}",
        "--dest-tls-verify=false",
    )
    return f"docker://{server.host}/real:{tag}", {"LAYERPROOF_INSECURE_REGISTRIES": server.host}


def in_closed_registry(
    request: pytest.FixtureRequest, images: RealImages, tag: str, folder: Path
) -> tuple[str, dict[str, str]]:
    server: Registry = request.getfixturevalue("closed_registry")
    copy(
        f"oci:{images.layout}:{tag}",
        f"docker://{server.host}/real:{tag}",
        "--dest-tls-verify=false",
        f"--dest-creds={server.user}:{server.password}",
    )
    config = server.docker_config(folder / "docker-config")
    return f"docker://{server.host}/real:{tag}", {
        "LAYERPROOF_INSECURE_REGISTRIES": server.host,
        "DOCKER_CONFIG": str(config),
    }


def in_docker_engine(
    request: pytest.FixtureRequest, images: RealImages, tag: str, _: Path
) -> tuple[str, dict[str, str]]:
    server: DockerEngine = request.getfixturevalue("engine")
    load(server, images, tag)
    return f"docker-daemon:real:{tag}", {"DOCKER_HOST": server.url}


def in_docker_save(
    request: pytest.FixtureRequest, images: RealImages, tag: str, folder: Path
) -> tuple[str, dict[str, str]]:
    server: DockerEngine = request.getfixturevalue("engine")
    load(server, images, tag)
    saved = folder / "saved.tar"
    subprocess.run(
        ["docker", "--host", server.url, "save", "--output", str(saved), f"real:{tag}"],
        check=True,
        timeout=300,
    )
    return f"docker-archive:{saved}", {}


def load(server: DockerEngine, images: RealImages, tag: str) -> None:
    copy(
        f"oci:{images.layout}:{tag}",
        f"docker-daemon:real:{tag}",
        f"--dest-daemon-host={server.url}",
    )


PLACES: dict[str, Place] = {
    "oci-archive": in_oci_archive,
    "docker-archive": in_docker_archive,
    "registry": in_open_registry,
    "registry-with-password": in_closed_registry,
    "docker-daemon": in_docker_engine,
    "docker-save": in_docker_save,
}


@pytest.fixture(scope="session")
def from_layout(
    images: RealImages, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[list[str], Path]]:
    """Tag → the ChainIDs and the index made from the OCI layout."""
    made: dict[str, tuple[list[str], Path]] = {}
    for tag in TAGS:
        index = tmp_path_factory.mktemp(tag) / "index.db"
        document = Program(index).indexed(f"oci:{images.layout}:{tag}")
        made[tag] = chain_ids(document), index
    return made


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("place", PLACES)
def test_same_image_through_another_source_gives_the_same_rows(
    request: pytest.FixtureRequest,
    images: RealImages,
    from_layout: dict[str, tuple[list[str], Path]],
    place: str,
    tag: str,
    tmp_path: Path,
) -> None:
    reference, environment = PLACES[place](request, images, tag, tmp_path)
    expected_chains, expected_index = from_layout[tag]

    index = tmp_path / "index.db"
    document = Program(index, environment).indexed(reference)

    assert chain_ids(document) == expected_chains
    found, expected = rows(index), rows(expected_index)
    for table in QUERIES:
        assert found[table] == expected[table], table
    assert problems(index) == []


def test_every_table_is_compared_or_left_out_on_purpose(
    from_layout: dict[str, tuple[list[str], Path]],
) -> None:
    _, index = from_layout["python"]
    assert tables(index) == QUERIES.keys() | LEFT_OUT
    assert all(rows(index).values())


def test_images_that_share_layers_share_their_rows(images: RealImages, tmp_path: Path) -> None:
    index = tmp_path / "index.db"
    python = Program(index).indexed(f"oci:{images.layout}:python")
    node = Program(index).indexed(f"oci:{images.layout}:node")
    assert chain_ids(python)[:2] == chain_ids(node)[:2]
    assert len(rows(index)["contents"]) == 4
    assert len(rows(index)["layer"]) == 4


def test_wrong_password_is_refused_and_never_shown(
    closed_registry: Registry, tmp_path: Path
) -> None:
    wrong = Registry(closed_registry.host, closed_registry.user, "wr0ng-passw0rd")
    environment = {
        "LAYERPROOF_INSECURE_REGISTRIES": closed_registry.host,
        "DOCKER_CONFIG": str(wrong.docker_config(tmp_path / "docker-config")),
    }
    program = Program(tmp_path / "index.db", environment)
    outcome = program.run("index", f"docker://{closed_registry.host}/real:python")
    assert outcome.code == 3
    assert outcome.error["code"] == "authentication"
    assert wrong.password not in outcome.output + outcome.complaints


def test_plain_http_registry_is_refused_unless_asked_for(
    open_registry: Registry, tmp_path: Path
) -> None:
    outcome = Program(tmp_path / "index.db").run("index", f"docker://{open_registry.host}/real:any")
    assert outcome.code == 3
    assert outcome.error["code"] in {"unreachable", "protocol"}


def test_missing_tag_is_named(open_registry: Registry, tmp_path: Path) -> None:
    environment = {"LAYERPROOF_INSECURE_REGISTRIES": open_registry.host}
    program = Program(tmp_path / "index.db", environment)
    outcome = program.run("index", f"docker://{open_registry.host}/real:no-such-tag")
    assert outcome.code == 3
    assert outcome.error["code"] == "not-found"
