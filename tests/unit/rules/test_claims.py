"""Which claims an image makes."""

import pytest
from tests.unit.rules.facts_builder import make_image

from layerproof.model.image import History
from layerproof.rules.claims import BASE_DIGEST, BASE_NAME, claims, starts_with_history

DIGEST = "sha256:" + "a" * 64
OS = History("2026-01-02T03:04:05Z", "ADD rootfs.tar /")
APP = History("2026-02-02T00:00:00Z", "COPY app /")


def test_the_same_claim_twice_is_one_with_two_origins() -> None:
    texts = {BASE_DIGEST: DIGEST}
    (claim,) = claims(make_image("os", labels=texts, annotations=texts))
    assert claim.key == f"digest:{DIGEST}"
    assert claim.origins == ("label", "annotation")


def test_claims_come_in_one_order() -> None:
    image = make_image("os", labels={BASE_NAME: "b", BASE_DIGEST: DIGEST}, history=[OS])
    assert [claim.kind for claim in claims(image)] == ["digest", "name", "history"]


def test_malformed_digest_is_marked() -> None:
    (claim,) = claims(make_image("os", labels={BASE_DIGEST: "sha256:xyz"}))
    assert claim.malformed


def test_labels_that_are_no_text_claim_nothing() -> None:
    image = make_image("os", labels={BASE_NAME: 7})  # type: ignore[dict-item]  # hostile config
    assert claims(image) == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "starts"),
    [
        ([OS, APP], [OS], True),
        ([OS], [OS], True),
        ([OS], [OS, APP], False),
        ([APP, OS], [OS], False),
        ([OS], [], False),
        ([OS], [History(OS.created, OS.created_by, comment="other")], False),
    ],
)
def test_history_prefix(mine: list[History], theirs: list[History], starts: bool) -> None:
    image, base = make_image("a", "b", history=mine), make_image("c", history=theirs)
    assert starts_with_history(image, base) is starts
