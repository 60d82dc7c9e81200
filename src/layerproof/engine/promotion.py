"""Which model is in use: kept in the index, put forward, promoted, rolled back. Nothing promotes
itself.

1. A training run puts a *challenger* forward, which runs in the shadow: `learn status` compares it
   with the *champion*, and no verdict asks it.
2. Somebody promotes it. What its training run found wanting (`failed` of its card) has to be
   overruled with a reason, which is kept.
3. The champion before is kept as the *previous* one; a rollback exchanges the two.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from layerproof.engine.learned import CHALLENGER, CHAMPION, PREVIOUS, Pointer, pointer
from layerproof.engine.ports import Index
from layerproof.errors import ModelError
from layerproof.learning.model import model_digest, parse_model


def put_challenger(
    index: Index,
    data: bytes,
    state: bytes,
    card: Mapping[str, Any],
    *,
    scores: Mapping[str, list[float]],
    by: str,
    now: datetime,
) -> Pointer:
    """Keep a model, its history and its card, and put it forward. Raises ModelError."""
    parse_model(data)
    found = Pointer(model_digest(data), _short(state), now.isoformat(), by)
    index.put_learned(f"model {found.model}", data)
    index.put_learned(f"card {found.model}", msgspec.json.encode(card))
    put_state(index, found.state, state, scores)
    index.put_learned(CHALLENGER, msgspec.json.encode(found))
    return found


def put_state(index: Index, name: str, state: bytes, scores: Mapping[str, list[float]]) -> None:
    """Keep a history, and the known-good scores that go with it."""
    index.put_learned(f"state {name}", state)
    index.put_learned(f"window {name}", msgspec.json.encode(scores))


def refresh(index: Index, role: str, state: bytes, scores: Mapping[str, list[float]]) -> Pointer:
    """Give a model the history of now."""
    found = _wanted(index, role)
    changed = Pointer(found.model, _short(state), found.at, found.by)
    put_state(index, changed.state, state, scores)
    index.put_learned(role, msgspec.json.encode(changed))
    return changed


def promote(index: Index, *, by: str, now: datetime, despite: str = "") -> Pointer:
    """The challenger becomes the champion. Raises ModelError for one that did not pass, unless a
    reason is given."""
    found = _wanted(index, CHALLENGER)
    failed = card_of(index, found.model).get("failed", [])
    if failed and not despite:
        raise ModelError(
            f"the challenger did not pass: {'; '.join(map(str, failed))}",
            where=found.model,
            remedy="train again with more history; or promote it all the same: --despite REASON",
        )
    champion = pointer(index, CHAMPION)
    if champion is not None:
        index.put_learned(PREVIOUS, msgspec.json.encode(champion))
    name = f"{by}, despite: {despite}" if despite else by
    promoted = Pointer(found.model, found.state, now.isoformat(), name)
    index.put_learned(CHAMPION, msgspec.json.encode(promoted))
    index.put_learned(CHALLENGER, b"")
    return promoted


def rollback(index: Index) -> Pointer:
    """The champion and the previous one change places. Raises ModelError."""
    previous = _wanted(index, PREVIOUS)
    champion = _wanted(index, CHAMPION)
    index.put_learned(CHAMPION, msgspec.json.encode(previous))
    index.put_learned(PREVIOUS, msgspec.json.encode(champion))
    return previous


def card_of(index: Index, model: str) -> dict[str, Any]:
    """What the training run wrote about a model; empty if nothing is kept."""
    found = index.cached(f"learned card {model}")
    if not found:
        return {}
    try:
        card: dict[str, Any] = msgspec.json.decode(found, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"the card is not readable: {error}", where=model) from error
    return card


def _wanted(index: Index, role: str) -> Pointer:
    found = pointer(index, role)
    if found is None:
        raise ModelError(f"there is no {role}", remedy="train one: layerproof learn train")
    return found


def _short(state: bytes) -> str:
    return sha256(state).hexdigest()[:24]
