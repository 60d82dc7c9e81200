"""`trusted-base`: situation → what the finding says."""

from dataclasses import replace

from tests.unit.rules.facts_builder import NOW, WEEK, known, make_facts, make_image, make_trust

from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Finding, Status
from layerproof.model.verdict import Base
from layerproof.rules.trusted_base import MAX_NEAR, TrustedBase, TrustedBaseSettings

RULE = TrustedBase()
BASE = make_image("os", "runtime", "certs", reference="docker://registry.example/base:1")


def the_one(facts: ImageFacts) -> Finding:
    (finding,) = RULE.check(facts, TrustedBaseSettings())
    assert finding.status is Status.FAIL
    assert finding.position is None
    return finding


def kinds(finding: Finding) -> list[object]:
    near = finding.evidence["near"]
    assert isinstance(near, list)
    return [item["kind"] for item in near]


def test_image_with_a_base_passes() -> None:
    image = make_image("os", "runtime", "certs", "app")
    assert BASE.top is not None
    facts = replace(make_facts(image), base=Base(BASE.reference, BASE.top, 3))
    assert RULE.check(facts, TrustedBaseSettings()) == ()


def test_image_from_nowhere_is_refused_with_the_command_that_would_trust_it() -> None:
    finding = the_one(make_facts(make_image("alien", reference="docker://other.example/x:1")))
    assert finding.message == "no trusted image is the base of this image"
    assert "layerproof trust add docker://other.example/x:1 --reason WHY" in finding.remedy
    assert kinds(finding) == []


def test_revoked_base_is_refused_and_who_revoked_it_is_said() -> None:
    record = make_trust(
        BASE, revoked_by="bob", revoked_at=NOW - WEEK, revoke_reason="backdoor in liblzma"
    )
    finding = the_one(make_facts(make_image("os", "runtime", "certs", "app"), trust=[record]))
    assert finding.message == (
        "no trusted image is the base of this image: its lowest 3 layers were trusted as "
        "docker://registry.example/base:1 by alice until 2026-04-27 12:00 UTC, revoked by bob "
        "because: backdoor in liblzma"
    )
    assert kinds(finding) == ["dead"]


def test_expired_base_is_refused_and_when_it_expired_is_said() -> None:
    record = make_trust(BASE, expires_at=NOW)
    finding = the_one(make_facts(make_image("os", "runtime", "certs", "app"), trust=[record]))
    assert "until 2026-05-04 12:00 UTC, when the trust expired" in finding.message


def test_trust_that_has_not_begun_is_refused_and_when_it_begins_is_said() -> None:
    record = make_trust(BASE, added_at=NOW + WEEK)
    finding = the_one(make_facts(make_image("os", "runtime", "certs"), trust=[record]))
    assert "only from 2026-05-11 12:00 UTC on" in finding.message


def test_image_that_leaves_out_upper_layers_of_the_base_is_refused() -> None:
    finding = the_one(make_facts(make_image("os", "app"), trust=[make_trust(BASE)]))
    assert finding.message.endswith(
        "it has the lowest 1 of the 3 layers of trusted docker://registry.example/base:1 "
        "and leaves out those above"
    )
    assert kinds(finding) == ["partial"]
    assert "build the image on the whole of" in finding.remedy


def test_layers_of_the_base_in_another_order_are_refused() -> None:
    image = make_image("runtime", "os", "certs", "app")
    finding = the_one(make_facts(image, near=[make_trust(BASE)]))
    assert kinds(finding) == ["other-order"]
    assert "it has the contents of 3 of the 3 layers of trusted" in finding.message


def test_layers_of_the_base_on_a_foreign_layer_are_refused() -> None:
    image = make_image("alien", "os", "runtime", "certs")
    assert kinds(the_one(make_facts(image, near=[make_trust(BASE)]))) == ["other-order"]


def test_other_image_under_a_trusted_name_is_refused() -> None:
    image = make_image("alien", reference=BASE.reference)
    finding = the_one(make_facts(image, near=[make_trust(BASE)]))
    assert kinds(finding) == ["same-name"]
    assert "is trusted as another image" in finding.message


def test_other_build_of_a_trusted_name_is_refused() -> None:
    image = make_image("alien", reference="docker://registry.example/base:2")
    assert kinds(the_one(make_facts(image, near=[make_trust(BASE)]))) == ["same-name"]


def test_two_archives_have_no_name_in_common() -> None:
    image = make_image("alien", reference="docker-archive:a.tar")
    other = make_trust(replace(BASE, reference="docker-archive:b.tar"))
    assert kinds(the_one(make_facts(image, near=[other]))) == []


def test_unrelated_trust_is_not_mentioned() -> None:
    assert kinds(the_one(make_facts(make_image("alien"), near=[make_trust(BASE)]))) == []


def test_image_without_layers_is_refused() -> None:
    finding = the_one(make_facts(make_image()))
    assert "has no layers" in finding.message
    assert "trust add" not in finding.remedy


def test_trust_without_layers_says_nothing() -> None:
    empty = make_trust(make_image(reference="docker://registry.example/app:1"))
    assert kinds(the_one(make_facts(make_image("os"), near=[empty], trust=[empty]))) == []


def test_nearest_miss_comes_first_and_the_list_is_bounded() -> None:
    partial = [
        make_trust(make_image("os", f"app-{n}", variant=str(n)), added_at=NOW - n * WEEK)
        for n in range(MAX_NEAR + 5)
    ]
    dead = make_trust(BASE, revoked_at=NOW - WEEK, revoked_by="bob", revoke_reason="x")
    finding = the_one(make_facts(make_image("os", "mine"), trust=[*partial, dead]))
    assert kinds(finding) == ["dead"] + ["partial"] * (MAX_NEAR - 1)


def test_order_of_trust_records_is_irrelevant() -> None:
    records = [
        make_trust(make_image("os", f"app-{n}", variant=str(n)), added_at=NOW - n * WEEK)
        for n in range(4)
    ]
    image = make_image("os", "mine")
    assert the_one(make_facts(image, trust=records)) == the_one(
        make_facts(image, trust=records[::-1])
    )


def test_remedy_names_the_claimed_base_only_if_the_chain_proves_it() -> None:
    image = make_image("os", "runtime", "certs", "app", reference="docker://registry.example/app:1")
    real = known(BASE, "docker://registry.example/base:1")
    lie = known(make_image("alien", reference="docker://evil.example/base:1"))
    finding = the_one(make_facts(image, claimed={"name:base": (lie, real)}))
    assert "trust add docker://registry.example/base:1 " in finding.remedy


def test_name_that_would_run_a_command_is_quoted() -> None:
    finding = the_one(make_facts(make_image("alien", reference="oci:./x; rm -rf ~\n")))
    assert "trust add 'oci:./x; rm -rf ~\\n' --reason" in finding.remedy


def test_escape_sequences_in_a_revocation_reason_do_not_reach_a_message() -> None:
    record = make_trust(BASE, revoked_at=NOW, revoked_by="b\x1b[2J", revoke_reason="\u202e")
    facts = make_facts(make_image("os", "runtime", "certs"), trust=[record])
    assert the_one(facts).message.isprintable()
