"""`lying-base-label`: claim and known images → what the finding says."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.unit.rules.facts_builder import ARM64, known, make_facts, make_image

from layerproof.model.digest import Digest
from layerproof.model.facts import KnownImage
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import History, Image
from layerproof.model.verdict import Base
from layerproof.rules.claims import BASE_DIGEST, BASE_NAME, claims
from layerproof.rules.lying_base_label import LyingBaseLabel, LyingBaseLabelSettings

RULE = LyingBaseLabel()
NAME = "registry.example/base:1"
BASE = make_image("os", "runtime", reference=f"docker://{NAME}")
INDEX = Digest.of(b"an image index")
assert BASE.manifest_digest is not None


def judge(
    image: Image,
    claimed: Mapping[str, tuple[KnownImage, ...]] | None = None,
    *,
    on_base: bool = False,
    settings: LyingBaseLabelSettings | None = None,
) -> tuple[Finding, ...]:
    facts = make_facts(image, claimed=claimed)
    if on_base:
        facts = replace(facts, base=Base("base", image.layers[0].chain_id, 1))
    return RULE.check(facts, settings or LyingBaseLabelSettings())


def by_digest(*images: Image, digest: str | None = None) -> dict[str, tuple[KnownImage, ...]]:
    return {f"digest:{digest or BASE.manifest_digest}": tuple(map(known, images))}


def by_name(*images: Image) -> dict[str, tuple[KnownImage, ...]]:
    return {f"name:{NAME}": tuple(map(known, images))}


# --- digest claims -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_label_that_names_another_base_is_refused(place: str) -> None:
    texts = {place: {BASE_DIGEST: str(BASE.manifest_digest)}}
    (finding,) = judge(make_image("alien", "app", **texts), by_digest(BASE))
    assert finding.status is Status.FAIL
    assert finding.severity is Severity.HIGH
    assert finding.position is None
    assert f"the {place[:-1]} image.base.digest claims the base sha256:" in finding.message


def test_label_that_names_the_true_base_passes() -> None:
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: str(BASE.manifest_digest)})
    assert judge(image, by_digest(BASE)) == ()


def test_label_inherited_from_further_down_passes() -> None:
    image = make_image(
        "os", "runtime", "framework", "app", labels={BASE_DIGEST: str(BASE.manifest_digest)}
    )
    assert judge(image, by_digest(BASE)) == ()


def test_image_that_adds_no_layer_to_its_base_passes() -> None:
    image = make_image("os", "runtime", labels={BASE_DIGEST: str(BASE.manifest_digest)})
    assert judge(image, by_digest(BASE)) == ()


def test_base_layers_in_another_order_are_refused() -> None:
    image = make_image("runtime", "os", labels={BASE_DIGEST: str(BASE.manifest_digest)})
    assert len(judge(image, by_digest(BASE))) == 1


def test_label_and_annotation_that_differ_are_both_judged() -> None:
    image = make_image(
        "os",
        "runtime",
        "app",
        labels={BASE_DIGEST: str(BASE.manifest_digest)},
        annotations={BASE_DIGEST: str(INDEX)},
    )
    other = make_image("alien", index_digest=INDEX)
    (finding,) = judge(image, {**by_digest(BASE), **by_digest(other, digest=INDEX)})
    assert finding.evidence["origins"] == ["annotation"]


def test_index_digest_stands_for_any_image_chosen_from_it() -> None:
    arm = make_image("os-arm", platform=ARM64, index_digest=INDEX)
    amd = replace(BASE, index_digest=INDEX)
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: INDEX})
    assert judge(image, by_digest(arm, amd, digest=INDEX)) == ()


def test_index_digest_with_our_platform_on_other_layers_is_refused() -> None:
    amd = make_image("os", "other", index_digest=INDEX)
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: INDEX})
    (finding,) = judge(image, by_digest(amd, digest=INDEX))
    assert finding.status is Status.FAIL


def test_index_digest_known_for_another_platform_only_is_unknown() -> None:
    arm = make_image("os-arm", platform=ARM64, index_digest=INDEX)
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: INDEX})
    (finding,) = judge(image, by_digest(arm, digest=INDEX))
    assert finding.status is Status.UNKNOWN


@pytest.mark.parametrize("text", ["latest", "sha256:abc", "SHA256:" + "a" * 64, "sha1:" + "a" * 40])
def test_malformed_digest_is_a_low_failure(text: str) -> None:
    (finding,) = judge(make_image("os", labels={BASE_DIGEST: text}))
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.LOW)


def test_emptied_label_claims_nothing() -> None:
    assert judge(make_image("os", labels={BASE_DIGEST: "", BASE_NAME: " "})) == ()


# --- unknown -----------------------------------------------------------------------------------


def test_unknown_base_without_a_trusted_one_is_unknown_and_refuses() -> None:
    (finding,) = judge(make_image("os", labels={BASE_DIGEST: INDEX, BASE_NAME: NAME}))
    assert finding.status is Status.UNKNOWN
    assert finding.severity is Severity.MEDIUM
    assert finding.effect is Effect.REFUSE
    assert finding.remedy == f"layerproof index docker://{NAME}@{INDEX}"


def test_unknown_base_above_a_trusted_one_only_alerts() -> None:
    (finding,) = judge(make_image("os", labels={BASE_DIGEST: INDEX}), on_base=True)
    assert (finding.status, finding.severity) == (Status.UNKNOWN, Severity.LOW)
    assert finding.effect is Effect.ALERT


def test_policy_may_refuse_unknown_claims_above_a_trusted_base() -> None:
    settings = LyingBaseLabelSettings(unknown_claims="refuse")
    image = make_image("os", labels={BASE_DIGEST: INDEX})
    (finding,) = judge(image, on_base=True, settings=settings)
    assert finding.effect is Effect.REFUSE


def test_contradiction_above_a_trusted_base_still_refuses() -> None:
    image = make_image("alien", labels={BASE_DIGEST: str(BASE.manifest_digest)})
    (finding,) = judge(image, by_digest(BASE), on_base=True)
    assert (finding.status, finding.effect) == (Status.FAIL, Effect.REFUSE)


def test_known_image_without_layers_proves_nothing() -> None:
    image = make_image("os", labels={BASE_DIGEST: INDEX})
    (finding,) = judge(image, by_digest(make_image(index_digest=INDEX), digest=INDEX))
    assert finding.status is Status.UNKNOWN


# --- name claims -------------------------------------------------------------------------------


def test_name_that_no_known_build_satisfies_is_a_medium_failure_naming_the_builds() -> None:
    (finding,) = judge(make_image("alien", "app", labels={BASE_NAME: NAME}), by_name(BASE))
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.MEDIUM)
    assert BASE.layers[-1].chain_id.short in finding.message


def test_name_satisfied_by_an_older_build_passes() -> None:
    newer = make_image("os-2", "runtime-2", reference=f"docker://{NAME}")
    image = make_image("os", "runtime", "app", labels={BASE_NAME: NAME})
    assert judge(image, by_name(newer, BASE)) == ()


def test_image_does_not_prove_its_own_name() -> None:
    image = make_image("alien", labels={BASE_NAME: NAME}, reference=f"docker://{NAME}")
    (finding,) = judge(image, by_name(image))
    assert finding.status is Status.UNKNOWN


def test_builds_of_other_platforms_do_not_contradict_a_name() -> None:
    arm = make_image("os-arm", platform=ARM64)
    (finding,) = judge(make_image("os", labels={BASE_NAME: NAME}), by_name(arm))
    assert finding.status is Status.UNKNOWN


def test_order_of_known_builds_is_irrelevant() -> None:
    builds = [make_image(f"os-{n}", reference=f"docker://{NAME}") for n in range(4)]
    image = make_image("alien", labels={BASE_NAME: NAME})
    assert judge(image, by_name(*builds)) == judge(image, by_name(*builds[::-1]))


# --- history -----------------------------------------------------------------------------------

OS = History("2026-01-02T03:04:05Z", "ADD rootfs.tar /")
ENV = History("2026-01-02T03:04:06Z", "ENV A=1", empty_layer=True)
APP = History("2026-02-02T00:00:00Z", "COPY app /")


def by_history(image: Image, *known_images: Image) -> dict[str, tuple[KnownImage, ...]]:
    (key,) = (claim.key for claim in claims(image) if claim.kind == "history")
    return {key: tuple(map(known, known_images))}


def test_copied_history_is_refused() -> None:
    base = make_image("os", history=[OS, ENV])
    image = make_image("alien", "app", history=[OS, ENV, APP])
    (finding,) = judge(image, by_history(image, base))
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.HIGH)
    assert "the first 2 entries of its history" in finding.message


def test_true_history_passes() -> None:
    base = make_image("os", history=[OS, ENV])
    image = make_image("os", "app", history=[OS, ENV, APP])
    assert judge(image, by_history(image, base)) == ()


def test_two_builds_with_one_history_are_no_contradiction() -> None:
    real, rebuilt = make_image("os", history=[OS]), make_image("os-again", history=[OS])
    image = make_image("os", "app", history=[OS, APP])
    assert judge(image, by_history(image, rebuilt, real)) == ()


def test_a_second_trusted_build_of_one_dockerfile_may_tell_the_same_history() -> None:
    first, second = make_image("os", history=[OS]), make_image("os-again", history=[OS])
    assert judge(second, by_history(second, first), on_base=True) == ()


def test_copied_history_above_a_trusted_base_is_refused() -> None:
    base = make_image("os", "runtime", history=[OS, ENV])
    image = make_image("alien", "app", history=[OS, ENV, APP])
    assert len(judge(image, by_history(image, base), on_base=True)) == 1


def test_history_of_another_platform_is_no_contradiction() -> None:
    base = make_image("os-arm", history=[OS], platform=ARM64)
    image = make_image("os", "app", history=[OS, APP])
    assert judge(image, by_history(image, base)) == ()


@pytest.mark.parametrize("created", ["", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_history_without_times_claims_nothing(created: str) -> None:
    """Reproducible builders give every image such a history."""
    entry = History(created, "bazel build ...")
    base = make_image("os", history=[entry])
    image = make_image("alien", "app", history=[entry, APP])
    assert judge(image, by_history(image, base)) == ()


def test_image_without_claims_passes() -> None:
    assert claims(make_image("os")) == ()
    assert judge(make_image("os")) == ()


# --- hostile text ------------------------------------------------------------------------------


def test_label_that_would_run_a_command_is_quoted_and_made_printable() -> None:
    image = make_image("os", labels={BASE_NAME: "x$(reboot)\x1b[2J"})
    (finding,) = judge(image)
    assert finding.message.isprintable()
    assert finding.remedy == "layerproof index 'docker://x$(reboot)\\x1b[2J'"
