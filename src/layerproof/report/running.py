"""What runs and what was answered about it, for people and for programs."""

from collections.abc import Iterator, Sequence

from layerproof.model.gate import Answer
from layerproof.model.running import Running
from layerproof.rules.text import show_text


def running_document(running: Running, answer: Answer | None) -> dict[str, object]:
    """One container that runs."""
    return {
        "apiVersion": "layerproof/v1",
        "kind": "Running",
        "runtime": running.runtime,
        "namespace": running.namespace,
        "container": running.id,
        "name": running.name,
        "host": running.host,
        "image": running.image,
        "imageDigest": running.identity,
        "chainId": running.top,
        "startedAt": running.started_at.isoformat() if running.started_at else None,
        "decided": str(answer.decided) if answer else None,
        "verdict": str(answer.verdict) if answer and answer.verdict else None,
        "cause": str(answer.cause) if answer else None,
        "reason": answer.reason if answer else "",
        "verdictId": answer.verdict_id if answer else "",
    }


def running_lines(states: Sequence[tuple[Running, Answer | None]]) -> Iterator[str]:
    """What is refused first."""
    if not states:
        yield "nothing runs"
        return
    order = sorted(states, key=lambda s: (_word(s[1]) != "refuse", s[0].name))
    yield f"{'':<8}{'container':<14}{'name':<22}{'top layer':<14}image"
    for running, answer in order:
        top = running.top.short if running.top else "?"
        yield (
            f"{_word(answer).upper():<8}{running.id[:12]:<14}{show_text(running.name, 20):<22}"
            f"{top:<14}{show_text(running.image, 80)}"
        )
        if answer is not None and answer.reason:
            yield f"        {show_text(answer.reason, 500)}"


def _word(answer: Answer | None) -> str:
    return str(answer.decided) if answer else "?"
