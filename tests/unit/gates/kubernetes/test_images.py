"""Every image of an object is found, whatever kind it is and wherever it stands."""

from typing import Any

import pytest

from layerproof.errors import LimitExceededError, ReviewError
from layerproof.gates.kubernetes.images import MOST_DEPTH, MOST_IMAGES, find_images


def images(document: dict[str, Any], group: str = "") -> list[str]:
    return sorted(place.image for place in find_images(document, group).places)


def spec(*names: str) -> dict[str, Any]:
    return {"containers": [{"name": f"c{n}", "image": name} for n, name in enumerate(names)]}


FULL = {
    "containers": [{"name": "a", "image": "one"}],
    "initContainers": [{"name": "b", "image": "two"}],
    "ephemeralContainers": [{"name": "c", "image": "three"}],
    "volumes": [
        {"name": "d", "image": {"reference": "four", "pullPolicy": "Always"}},
        {"name": "e", "emptyDir": {}},
    ],
}


def test_every_place_of_a_pod_is_found_with_its_pointer() -> None:
    found = find_images({"kind": "Pod", "spec": FULL})
    assert {(p.pointer, p.role, p.name, p.image) for p in found.places} == {
        ("/spec/containers/0/image", "container", "a", "one"),
        ("/spec/initContainers/0/image", "init container", "b", "two"),
        ("/spec/ephemeralContainers/0/image", "ephemeral container", "c", "three"),
        ("/spec/volumes/0/image/reference", "image volume", "d", "four"),
    }


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Deployment", "spec": {"template": {"spec": FULL}}},
        {"kind": "ReplicaSet", "spec": {"template": {"spec": FULL}}},
        {"kind": "StatefulSet", "spec": {"template": {"spec": FULL}}},
        {"kind": "DaemonSet", "spec": {"template": {"spec": FULL}}},
        {"kind": "ReplicationController", "spec": {"template": {"spec": FULL}}},
        {"kind": "Job", "spec": {"template": {"spec": FULL}}},
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": FULL}}}}},
        {"kind": "PodTemplate", "template": {"spec": FULL}},
        {"kind": "Rollout", "spec": {"workload": [{"deep": {"template": {"spec": FULL}}}]}},
    ],
    ids=lambda d: d["kind"],
)
def test_a_pod_template_is_found_in_every_workload_and_in_unknown_kinds(
    document: dict[str, Any],
) -> None:
    assert images(document) == ["four", "one", "three", "two"]


def test_cve_2023_2727_ephemeral_containers_of_the_old_subresource_are_found() -> None:
    document = {"kind": "EphemeralContainers", "ephemeralContainers": [{"image": "evil"}]}
    assert images(document) == ["evil"]


def test_an_image_volume_without_any_container_image_is_found() -> None:
    document = {"spec": {"containers": [], "volumes": [{"image": {"reference": "evil"}}]}}
    assert images(document) == ["evil"]


@pytest.mark.parametrize("key", ["Containers", "INITCONTAINERS", "container\u017f", "Volumes"])
def test_a_list_in_another_case_is_refused(key: str) -> None:
    with pytest.raises(ReviewError, match="another case"):
        find_images({"spec": {**spec("good"), key: [{"image": "evil"}]}})


def test_an_image_in_another_case_is_refused() -> None:
    with pytest.raises(ReviewError, match="another case"):
        find_images({"spec": {"containers": [{"image": "good", "Image": "evil"}]}})


def test_the_reference_of_a_volume_in_another_case_is_refused() -> None:
    volume = {"image": {"reference": "good", "Reference": "evil"}}
    with pytest.raises(ReviewError, match="another case"):
        find_images({"spec": {**spec("good"), "volumes": [volume]}})


def test_an_image_that_is_no_text_is_refused_in_the_apis_own_kinds() -> None:
    with pytest.raises(ReviewError, match="no text"):
        find_images({"spec": {"containers": [{"image": ["evil"]}]}})


def test_an_image_that_is_no_text_is_left_out_and_told_in_others() -> None:
    document = {"spec": {"containers": [{"image": {"repository": "x"}}, {"image": "one"}]}}
    found = find_images(document, "example.org")
    assert [place.image for place in found.places] == ["one"]
    assert found.skipped == [("spec", "containers", 0, "image")]


def test_a_container_that_is_no_object_is_refused() -> None:
    with pytest.raises(ReviewError, match="no object"):
        find_images({"spec": {"containers": ["evil"]}})


def test_labels_and_annotations_may_look_like_anything() -> None:
    metadata = {"labels": {"Image": "x", "image": "y"}, "annotations": {"Containers": "z"}}
    assert images({"metadata": metadata, "spec": spec("one")}) == ["one"]


def test_what_a_pod_says_of_its_state_is_no_image_to_run() -> None:
    status = {"containerStatuses": [{"image": "old"}], "containers": [{"image": "old"}]}
    assert images({"spec": spec("one"), "status": status}) == ["one"]


def test_too_many_images_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        find_images({"spec": spec(*(f"i{n}" for n in range(MOST_IMAGES + 1)))})


def test_too_deep_an_object_is_refused() -> None:
    document: dict[str, Any] = spec("evil")
    for _ in range(MOST_DEPTH + 2):
        document = {"x": document}
    with pytest.raises(LimitExceededError):
        find_images(document, "example.org")
