"""Attacks on contents: inert, one technique each, in an honest build that stays as it was."""

import io
import random
import tarfile
from itertools import pairwise

import pytest

from layerproof.oci.limits import Limits
from layerproof.testing.images import File, Node, Whiteout, tar
from learning.applications import (
    HARD_STEPS,
    UNUSUAL_STEPS,
    Application,
    Build,
    library,
    source_texts,
)
from learning.cases import FAMILIES, NO_ATTACK, Axis
from learning.content_attacks import ATTACKS, Kit
from learning.layers import Recipe
from learning.prepared import Picture, PictureSource, Prepared

LOWER = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "etc/security/limits.conf": "# limits\n",
    "etc/pam.d/login": "auth required\n",
    "usr/share/keyrings/debian.gpg": "keys",
    "usr/share/doc/libc6/copyright": "free",
    "usr/bin/login": File(b"\x7fELF" + bytes(60_000), mode=0o4755),
    "usr/lib/x86_64-linux-gnu/libz.so.1": File(b"\x7fELF" + bytes(9_000), mode=0o644),
}


def lower() -> tuple[Prepared, ...]:
    return (Prepared.of_tree(LOWER, "base"), Prepared.of_tree({"opt/tool": "1"}, "RUN tool"))


def application(hard: str = "") -> Application:
    recipe = Recipe("test", "python", alpine="0", hard=hard)
    return Application("library/shop", recipe, lower(), random.Random(7))


def kit() -> Kit:
    return Kit((Prepared.of_tree({"etc/other": "base"}, "other"),))


def attacked(family: str, seed: int) -> tuple[Build, Build]:
    twin = application().push()
    found = ATTACKS[family](twin, kit(), random.Random(seed))
    assert found is not None
    return twin, found


def added(twin: Build, found: Build) -> dict[str, Node]:
    return {path: node for path, node in found.tree.items() if twin.tree.get(path) != node}


def test_every_family_of_contents_has_its_attack() -> None:
    families = {family.name for family in FAMILIES if family.axis is Axis.CONTENTS}
    assert ATTACKS.keys() == families | {NO_ATTACK}


@pytest.mark.parametrize("family", ATTACKS)
@pytest.mark.parametrize("seed", range(5))
def test_an_attack_leaves_the_honest_build_in_place(family: str, seed: int) -> None:
    twin, found = attacked(family, seed)
    assert found.tree.keys() >= twin.tree.keys()
    assert len(found.lower) == len(twin.lower)
    assert {k: v for k, v in found.run.items() if k != "Entrypoint"} == {
        k: v for k, v in twin.run.items() if k != "Entrypoint"
    }
    if family not in ("other-chain",):
        assert found.lower == twin.lower
        assert 1 <= len(added(twin, found)) <= 5
    assert twin == application().push(), "the twin itself was changed"


@pytest.mark.parametrize("family", ATTACKS)
def test_an_attack_is_the_same_for_the_same_seed(family: str) -> None:
    assert attacked(family, 3)[1] == attacked(family, 3)[1]


@pytest.mark.parametrize("family", ATTACKS)
@pytest.mark.parametrize("seed", range(5))
def test_an_attack_is_inert(family: str, seed: int) -> None:
    twin, found = attacked(family, seed)
    for path, node in added(twin, found).items():
        if isinstance(node, File) and node.data[:4] == b"\x7fELF":
            assert_not_loadable(node.data)
        elif isinstance(node, File) and node.data in source_texts():
            continue  # what an honest module holds
        elif isinstance(node, File) and (b"http" in node.data or b"tcp:" in node.data):
            assert b".example" in node.data, path  # a reserved domain (RFC 2606)
    for node in found.tree.values():
        assert not isinstance(node, File) or b"PRIVATE KEY" not in node.data


def assert_not_loadable(data: bytes) -> None:
    """elf(5): the number of program headers is at offset 56; without one nothing is loaded."""
    assert int.from_bytes(data[56:58], "little") == 0
    assert int.from_bytes(data[24:32], "little") == 0, "it has an entry point"


def test_a_placeholder_has_the_asked_size() -> None:
    for size in (10, 64, 4097):
        assert len(library(random.Random(1), size)) == size


def test_the_pipeline_without_an_attack_changes_one_source_only() -> None:
    twin, found = attacked(NO_ATTACK, 1)
    ((path, node),) = added(twin, found).items()
    assert path.startswith("srv/app/part_")
    assert isinstance(node, File)
    before = twin.tree[path]
    assert isinstance(before, File)
    assert node.data.startswith(before.data)


def test_a_trojaned_library_has_the_size_and_mode_of_the_one_below() -> None:
    twin, found = attacked("trojaned-library", 1)
    ((path, node),) = added(twin, found).items()
    assert isinstance(node, File)
    assert (len(node.data), node.mode) == twin.lower_files()[path]
    assert tar({path: node}) != twin.lower[0].tar


def test_security_files_are_whited_out_where_they_stand() -> None:
    twin, found = attacked("security-whiteout", 1)
    gone = added(twin, found)
    assert all(isinstance(node, Whiteout) for node in gone.values())
    assert gone.keys() <= twin.lower_files().keys()


def test_another_chain_keeps_the_upper_layers() -> None:
    twin, found = attacked("other-chain", 1)
    assert found.lower[0].diff_id != twin.lower[0].diff_id
    assert found.lower[1:] == twin.lower[1:]
    assert found.tree == twin.tree


def test_an_attack_without_a_place_is_none() -> None:
    bare = Build("shell", (Prepared.of_tree({"a": "b"}, ""),), {}, {})
    for family in ("replaced-login", "typosquat-package", "trojaned-library", "security-whiteout"):
        assert ATTACKS[family](bare, kit(), random.Random(1)) is None


@pytest.mark.parametrize("hard", ["", *HARD_STEPS])
def test_an_application_changes_with_every_push_and_sometimes_unusually(hard: str) -> None:
    app = application(hard)
    builds = [app.push() for _ in range(120)]
    assert all(a.tree != b.tree for a, b in pairwise(builds))
    notes = {build.note for build in builds} - {hard}
    assert len(notes) >= 4
    known = {step.__name__.replace("_", " ") for step in (*UNUSUAL_STEPS, *HARD_STEPS.values())}
    assert notes <= known


def test_a_prepared_image_is_read_as_it_was_made() -> None:
    top = Prepared.of_tree(application().push().tree, "COPY . /")
    picture = Picture((*lower(), top), "docker://r.example/a:1", "2024-01-01T00:00:00Z", {})
    source = PictureSource(picture, Limits())
    image = source.resolve(None)
    assert image.manifest_digest == picture.digest
    assert [layer.diff_id for layer in image.layers] == [la.diff_id for la in picture.layers]
    blobs = {layer.position: b"".join(chunks) for layer, chunks in source.layers([0, 2]) if layer}
    assert blobs == {0: picture.layers[0].blob, 2: top.blob}
    with tarfile.open(fileobj=io.BytesIO(blobs[2])) as members:
        assert "srv/app/start.sh" in members.getnames()
