"""What a service answers is read whole or refused: a hostile one cannot confuse a command."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.index_examples import (
    TUESDAY,
    event,
    image,
    trust,
    verdict_record,
    withdrawal,
)

from layerproof.engine.view import ImageView, LayerView
from layerproof.errors import ProtocolError
from layerproof.model.facts import Context
from layerproof.remote.decode import (
    decoded,
    event_of,
    image_of,
    record_of,
    trust_of,
    view_of,
    withdrawal_of,
)
from layerproof.report.documents import (
    event_document,
    image_document,
    record_document,
    trust_document,
    withdrawal_document,
)

Make = Callable[[Any], Any]


def _image() -> Any:
    found = image("abc")
    view = ImageView(found, ("a", "b"), tuple(LayerView(i, None, None, None) for i in found.layers))
    return image_document(view)


DOCUMENTS: dict[str, tuple[Make, Any]] = {
    "event": (event_of, event_document(event())),
    "trust": (trust_of, trust_document(trust(image("ab")), TUESDAY)),
    "withdrawal": (withdrawal_of, withdrawal_document(withdrawal(), TUESDAY)),
    "verdict": (record_of, record_document(verdict_record())),
    "verdict of no place": (
        record_of,
        record_document(replace(verdict_record(), context=Context())),
    ),
    "image": (image_of, _image()),
    "view": (view_of, _image()),
}
WRONG = (None, 7, -1, True, "", "x", "sha256:zz", "2026-01-01", [], ["x"], [None], {}, {"x": 1},
         1 << 80, 0.5)  # fmt: skip


def plain(document: Any) -> Any:
    """As it comes from the network."""
    return json.loads(json.dumps(document))


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    found = copy.deepcopy(document)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return found


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
def test_what_the_service_says_is_read(kind: str) -> None:
    make, document = DOCUMENTS[kind]
    decoded(make, plain(document))


def test_an_event_is_the_same_on_both_sides() -> None:
    found = event()
    assert decoded(event_of, plain(event_document(found))) == found


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
def test_any_value_of_a_wrong_kind_is_refused_or_harmless(kind: str) -> None:
    make, document = DOCUMENTS[kind]
    document = plain(document)
    refused = 0
    for path in places(document):
        for value in WRONG:
            try:
                repr(decoded(make, changed(document, path, value)))
            except ProtocolError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
def test_a_document_without_something_is_refused_or_needs_it_not(kind: str) -> None:
    make, document = DOCUMENTS[kind]
    document = plain(document)
    refused = 0
    for key in document:
        try:
            decoded(make, {name: value for name, value in document.items() if name != key})
        except ProtocolError:
            refused += 1
    assert refused >= 3


@pytest.mark.parametrize("at", ["2026-01-01", "2026-01-01T00:00:00", "now", ""])
def test_a_time_without_a_zone_is_refused(at: str) -> None:
    with pytest.raises(ProtocolError):
        decoded(event_of, {**plain(event_document(event())), "at": at})
