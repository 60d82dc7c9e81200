"""Plain lines about pulls and withdrawals."""

from collections.abc import Iterator, Sequence

from layerproof.engine.pull import Pulled, PulledLayer
from layerproof.engine.responder import TagDone
from layerproof.model.withdrawal import Withdrawal
from layerproof.report.documents import API_VERSION
from layerproof.report.lines import command_text, human, width, wrapped
from layerproof.rules.text import plural, show_text


def pulled_lines(pulled: Pulled, place: str, *, quiet: bool) -> Iterator[str]:
    """What one pull did, and what to do next."""
    image = pulled.image
    if not pulled.layers:
        yield f"nothing to pull: every layer of {show_text(image.reference, 500)} is trusted"
        return
    what = "pulled" if any(each.withdrawal for each in pulled.layers) else "fetched for inspection"
    total = f"{len(pulled.layers)} of {plural(len(image.layers), 'layer')}"
    yield f"{what}: {total} of {show_text(image.reference, 500)}"
    if quiet:
        return
    yield f"  fetched {human(pulled.fetched)}, spared {human(pulled.spared)}"
    yield ""
    for each in pulled.layers:
        yield from _layer_lines(each)
    yield ""
    yield f"  in quarantine: oci:{place}:{pulled.name}"
    yield f"  look into it:  ls {place}/blobs/sha256   (blobs as they came, not unpacked)"
    first = next((each.withdrawal for each in pulled.layers if each.withdrawal), None)
    if first is not None:
        yield "  every image with these layers is refused from now on; to take that back:"
        yield f"  layerproof pull --release {first.id} --reason WHY"


def _layer_lines(each: PulledLayer) -> Iterator[str]:
    layer, verdict = each.layer, each.verdict
    said = "in quarantine already" if not each.fetched else human(each.fetched)
    command = command_text(layer.created_by)
    head = f"  {layer.position:3} {layer.chain_id.short}  {verdict.verdict!s:9}  {said}  {command}"
    yield head[: width()]
    if each.withdrawal is not None:
        record = each.withdrawal
        yield from wrapped(f"withdrawn as {record.id}: {show_text(record.reason)}", "      ")
    yield from wrapped(f"blob {each.blob.digest}", "      ")


def withdrawal_lines(records: Sequence[Withdrawal]) -> Iterator[str]:
    """One paragraph each."""
    for record in records:
        yield f"{record.id}  layer {record.chain_id.short} of {show_text(record.reference, 300)}"
        who, when = show_text(record.withdrawn_by), f"{record.withdrawn_at:%Y-%m-%d %H:%M} UTC"
        yield from wrapped(f"withdrawn by {who}, {when}: {show_text(record.reason)}", "  ")
        if record.released_at is not None:
            who, when = show_text(record.released_by), f"{record.released_at:%Y-%m-%d %H:%M} UTC"
            yield from wrapped(
                f"released by {who}, {when}: {show_text(record.release_reason)}", "  "
            )


def tag_document(done: TagDone) -> dict[str, object]:
    """One tag of a registry that was to be taken away, or brought back."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Tag",
        "reference": done.reference,
        "outcome": str(done.outcome),
        "to": done.to,
        "reason": done.reason,
    }


def tag_line(done: TagDone) -> str:
    """The same for people."""
    more = f" to {done.to}" if done.to else ""
    more += f": {show_text(done.reason)}" if done.reason else ""
    said = "names another image, left" if done.outcome == "other" else str(done.outcome)
    return f"tag {show_text(done.reference)}: {said}{more}"
