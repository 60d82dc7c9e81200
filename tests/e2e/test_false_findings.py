"""What honest people do to a trusted base gives no finding about protected or altered files."""

from pathlib import Path

import pytest
from tests.e2e.program import Program
from tests.e2e.real_images import RealImages

pytestmark = pytest.mark.real

HONEST = {  # image → the trusted image that it is built on
    "upgraded": "released",  # apt-get upgrade
    "python": "apt",  # pip
    "node": "apt",  # npm
    "owned": "node",  # chown -R
}


@pytest.mark.parametrize("tag", HONEST)
def test_an_honest_layer_is_not_taken_for_tampering(
    tag: str, images: RealImages, tmp_path: Path
) -> None:
    program = Program(tmp_path / "index.db")
    program.knows_no_vulnerability()
    trusted, image = (f"oci:{images.layout}:{name}" for name in (HONEST[tag], tag))
    assert program.run("trust", "add", trusted, "-r", "base", "--quiet").code == 0
    (verdict,) = program.run("check", image, "--output", "json").documents
    assert verdict["base"]["trustedImage"] == trusted
    every = [*verdict["findings"], *(f for la in verdict["layers"] for f in la["findings"])]
    told = {(f["rule"], f["message"]) for f in every if f["effect"] != "ignore"}
    scripts = {(rule, message) for rule, message in told if rule == "package-script"}
    assert told - scripts == set()
    # Scripts of packages that the base does not have are new to it: that is what the rule says.
    assert all(tag == "upgraded" for _ in scripts)


def test_an_upgrade_explains_every_protected_path_that_it_changes(
    images: RealImages, tmp_path: Path
) -> None:
    """Else the test above would pass on a layer that upgrades nothing."""
    program = Program(tmp_path / "index.db")
    trusted, image = (f"oci:{images.layout}:{name}" for name in ("released", "upgraded"))
    assert program.run("trust", "add", trusted, "-r", "base", "--quiet").code == 0
    strict = tmp_path / "strict.yaml"
    strict.write_text(
        "apiVersion: layerproof/v1\nkind: Policy\n"
        "rules: {protected-path: {packageUpgrades: refuse}}\n"
    )
    done = program.run("check", image, "--policy", str(strict), "--output", "json")
    assert done.code == 1
    (verdict,) = done.documents
    found = [f for la in verdict["layers"] for f in la["findings"] if f["rule"] == "protected-path"]
    assert len(found) > 5
