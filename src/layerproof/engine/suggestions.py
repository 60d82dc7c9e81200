"""Images that might be declared trusted: a queue for people. Nothing promotes itself.

An image is suggested if the model in use calls it trusted, it has stood undisputed for
`STOOD_DAYS`, others than its pusher pull it, and no active trust covers it. Only the newest one of
a repository is. Who approves a suggestion declares trust, with a reason, as by `trust add`; who
dismisses one is not asked about that image again.
"""

from datetime import datetime

import msgspec

from layerproof.engine.ports import Index
from layerproof.engine.shadow import Said, Shadow
from layerproof.engine.trust import add_trust
from layerproof.errors import ModelError, TrustError
from layerproof.learning.history import account_of, repository_of
from layerproof.model.digest import Digest
from layerproof.model.learned import Outcome
from layerproof.model.trust import TrustRecord

MIN_PULLERS = 2
_KEY = "suggestions"


class Suggestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One image that somebody may want to trust. `state`: waiting, approved, dismissed."""

    id: str
    reference: str
    manifest_digest: str
    trust: float
    p_value: float
    pushed_by: str
    pushed_at: str
    pullers: int
    model: str
    state: str = "waiting"
    decided_by: str = ""
    reason: str = ""


def suggestions(index: Index) -> list[Suggestion]:
    """All that were made, the newest push first. Raises ModelError."""
    found = index.cached(f"learned {_KEY}")
    if not found:
        return []
    try:
        return msgspec.json.decode(found, type=list[Suggestion])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"the suggestions are not readable: {error}") from error


def suggest(index: Index, shadow: Shadow, now: datetime) -> list[Suggestion]:
    """Fill the queue from what the model in use says; what was decided stays decided."""
    decided = [item for item in suggestions(index) if item.state != "waiting"]
    known = {item.manifest_digest for item in decided}
    new = [
        made
        for said in shadow.last.values()
        if (made := _suggestion(index, shadow, said, now)) and made.manifest_digest not in known
    ]
    new.sort(key=lambda item: (item.pushed_at, item.id), reverse=True)
    queue = [*new, *decided]
    index.put_learned(_KEY, msgspec.json.encode(queue))
    return queue


def approve(index: Index, identity: str, *, by: str, reason: str, now: datetime) -> TrustRecord:
    """Declare the image trusted. Raises TrustError."""
    item = _waiting(index, identity)
    record = index.image_by_manifest(Digest.parse(item.manifest_digest))
    if record is None:
        raise TrustError("the index no longer knows the image", where=item.reference)
    trust = add_trust(index, record.image, by=by, reason=reason, now=now, expires_at=None)
    _decide(index, item, "approved", by, reason)
    return trust


def dismiss(index: Index, identity: str, *, by: str, reason: str) -> Suggestion:
    """Never suggest this image again. Raises TrustError."""
    return _decide(index, _waiting(index, identity), "dismissed", by, reason)


def _suggestion(index: Index, shadow: Shadow, said: Said, now: datetime) -> Suggestion | None:
    occasion, found = said.case.occasion, said.assessment
    digest = occasion.manifest_digest
    history = shadow.rolling.history
    if found.outcome is not Outcome.TRUSTED or digest is None or digest in history.disputed:
        return None
    pullers = history.pullers.others(repository_of(occasion), account_of(occasion))
    if pullers < MIN_PULLERS:
        return None
    record = index.image_by_manifest(digest)
    if record is None or record.image.top is None:
        return None
    if any(t.active(now) and t.top == record.image.top for t in index.trust_of([record.image.top])):
        return None
    return Suggestion(
        id=digest.short,
        reference=record.image.reference,
        manifest_digest=str(digest),
        trust=round(found.trust, 4),
        p_value=round(found.p_value, 4),
        pushed_by=account_of(occasion),
        pushed_at=occasion.at.isoformat(),
        pullers=pullers,
        model=found.model,
    )


def _waiting(index: Index, identity: str) -> Suggestion:
    found = [s for s in suggestions(index) if s.id.startswith(identity) and s.state == "waiting"]
    if len(found) != 1 or not identity:
        raise TrustError(
            f"{identity[:80]!r} is no suggestion that waits",
            remedy="layerproof learn suggestions lists them",
        )
    return found[0]


def _decide(index: Index, item: Suggestion, state: str, by: str, reason: str) -> Suggestion:
    decided = msgspec.structs.replace(item, state=state, decided_by=by, reason=reason)
    queue = [decided if found.id == item.id else found for found in suggestions(index)]
    index.put_learned(_KEY, msgspec.json.encode(queue))
    return decided
