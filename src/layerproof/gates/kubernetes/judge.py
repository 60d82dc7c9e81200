"""A review judged: every image of it answered, by digest, in time.

1. A text is read as nodes read it. One that is no image is refused, whatever else stands beside it.
2. A tag is resolved once: the bytes that the registry delivers are hashed here, and what has that
   digest is judged (CVE-2022-47633, CVE-2023-47630). A registry that does not answer is
   `unavailable`.
3. Where tags are to be pinned, the validating webhook refuses one that can be resolved: the
   mutating one would have replaced it, so somebody wrote it later.
4. An index of images is judged for every platform that the nodes have; the worst answer counts.
5. What the answer refuses may pass by an exemption, by break-glass, or by what break-glass let in
   before. Each is told: as a warning, in the audit log of the cluster, and in ours.
6. All of it together takes no longer than the budget. What was not answered by then is
   `unavailable`.
7. A dry run is judged alike, and leaves nothing behind.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from layerproof.engine.gate import worst
from layerproof.engine.ports import Clock
from layerproof.errors import LayerproofError, ReferenceSyntaxError
from layerproof.gates.interface import Decider
from layerproof.gates.kubernetes.admission import GATE, Plan, Ruled
from layerproof.gates.kubernetes.interface import Grant, Grants, Tags
from layerproof.gates.kubernetes.review import User
from layerproof.gates.kubernetes.settings import KubernetesSettings
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Cause, Question
from layerproof.model.reference import DOCKER, Reference, parse_name
from layerproof.model.verdict import Decision

Tell = Callable[[Context, str, Answer], None]  # where, for which object, what was answered

_named_as = lru_cache(20_000)(parse_name)  # the same few names all the time

_UNPINNED = "it has no digest, though tags are replaced by digests here"
_UNPINNED_REMEDY = (
    "something changed it after that: see which webhooks run later, or name the image by its digest"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for what; of a review, or of an ImageReview."""

    images: tuple[str, ...]
    context: Context
    user: User
    target: str  # for our audit
    dry_run: bool
    pinned: bool  # tags were to be replaced before this


class Judge:
    """Answers on the images of a review. `settings` may be replaced while it works."""

    def __init__(
        self,
        decider: Decider,
        tags: Tags,
        grants: Grants,
        clock: Clock,
        settings: KubernetesSettings,
        tell: Tell = lambda *_: None,
    ) -> None:
        self._decider = decider
        self._tags = tags
        self._grants = grants
        self._clock = clock
        self.settings = settings
        self._tell = tell

    async def resolve(self, plan: Plan, budget: float) -> tuple[dict[str, str], list[str]]:
        """For the mutating webhook: the digest of each text that has none, and what to warn of."""
        digests: dict[str, str] = {}
        warnings: list[str] = []

        async def one(text: str) -> None:
            try:
                reference = parse_name(text)
                if reference.digest is None:
                    digests[text] = str(await self._tags.digest_of(reference))
            except LayerproofError as error:
                warnings.append(f"layerproof: {text}: not replaced by a digest: {error}")

        late = await _within(budget, {text: one(text) for text in plan.images})
        warnings += [f"layerproof: {text}: not replaced by a digest in time" for text in late]
        return digests, warnings

    def malformed(self, namespace: str, target: str, error: LayerproofError) -> Answer:
        """What follows for a review that cannot be judged, or that can be read in two ways."""
        context = Context(GATE, namespace)
        answer = self._decider.forbid(context, str(error), error.remedy, target)
        self._decider.note(context, answer)
        if answer.notable:
            self._tell(context, target, answer)
        return answer

    async def rule(self, asked: Asked, budget: float) -> list[Ruled]:
        """The answers, in the order of the images; one for each."""
        found: dict[str, Ruled] = {}

        async def one(text: str) -> None:
            found[text] = await self._one(text, asked)

        late = await _within(budget, {text: one(text) for text in asked.images})
        for text in late:
            answer = self._decider.unavailable(
                asked.context, _named(text), f"no answer within {budget:g} seconds", ""
            )
            found[text] = Ruled(text, answer)
        ruled = [found[text] for text in asked.images]
        if not asked.dry_run:
            for item in ruled:
                self._decider.note(asked.context, item.answer)
                if item.answer.notable:
                    self._tell(asked.context, asked.target, item.answer)
        return ruled

    async def _one(self, text: str, asked: Asked) -> Ruled:
        try:
            reference = _named_as(text)
        except ReferenceSyntaxError as error:
            said = self._decider.forbid(asked.context, error.message, error.remedy, text[:300])
            return Ruled(text, said)
        resolved = reference.digest
        answer: Answer | None = None
        if resolved is None:
            try:
                resolved = await self._tags.digest_of(reference)
            except LayerproofError as error:
                reason = f"what the tag names cannot be found out: {error}"
                answer = self._decider.unavailable(
                    asked.context, str(reference), reason, error.remedy
                )
            else:
                if asked.pinned:
                    answer = self._decider.forbid(
                        asked.context, _UNPINNED, _UNPINNED_REMEDY, str(reference)
                    )
        if answer is None:
            exact = Reference(DOCKER, reference.host, reference.repository, digest=resolved)
            answer = await self._judged(exact, asked.context)
        if answer.decision is not Decision.REFUSE:
            return Ruled(text, answer)
        return await self._passed(Ruled(text, answer), reference, str(resolved or text), asked)

    async def _judged(self, exact: Reference, context: Context) -> Answer:
        """Rule 4."""
        question = Question((str(exact),), context)
        answer = await self._decider.ask(question)
        platforms = self.settings.platforms
        if not platforms or answer.cause is Cause.UNAVAILABLE:
            return answer
        if answer.manifest_digest is not None and answer.manifest_digest == exact.digest:
            return answer  # these bytes and no others, whatever they run on
        asking = (self._decider.ask(replace(question, platform=item)) for item in platforms)
        return worst(await asyncio.gather(*asking))

    async def _passed(self, item: Ruled, reference: Reference, image: str, asked: Asked) -> Ruled:
        """Rule 5."""
        now = self._clock.now()
        namespace = asked.context.namespace or ""
        for exemption in self.settings.exempt:
            digests = (image, *filter(None, (item.answer.manifest_digest,)))
            cause = item.answer.cause
            if exemption.frees(cause, str(reference), digests, namespace, now):
                note = f"exempt until {exemption.until} by {exemption.owner}: {exemption.reason}"
                return _let_through(item, note)
        for window in self.settings.windows:
            if window.opens_for(asked.user, namespace, now):
                grant = Grant(namespace, image, window.until, asked.user.name, window.reason)
                if not asked.dry_run:
                    await self._grants.add(grant, asked.target)
                return _let_through(item, _glass(grant))
        if not self.settings.windows:
            return item
        before = await self._grants.find(namespace, image)
        if before is not None and now < before.until and self._stands(before, now):
            return _let_through(item, _glass(before))
        return item

    def _stands(self, grant: Grant, now: datetime) -> bool:
        """Whether a window like the one that gave it is still open: whoever closes one closes it
        for what it let in, too."""
        return any(
            window.since <= now < window.until
            and window.until >= grant.until
            and window.reason == grant.reason
            for window in self.settings.windows
        )


def _glass(grant: Grant) -> str:
    return f"break-glass until {grant.until:%Y-%m-%d %H:%M} UTC by {grant.by}: {grant.reason}"


def _let_through(item: Ruled, note: str) -> Ruled:
    return replace(item, answer=replace(item.answer, decision=Decision.ALERT), note=note)


def _named(text: str) -> str:
    try:
        return str(parse_name(text))
    except ReferenceSyntaxError:
        return text[:300]


async def _within(budget: float, work: Mapping[str, Coroutine[Any, Any, None]]) -> list[str]:
    """Run all; those that were not done in time are ended. Raises what one of them raised."""
    if len(work) == 1:  # the most frequent case needs no task
        ((text, only),) = work.items()
        try:
            async with asyncio.timeout(budget):
                await only
        except TimeoutError:
            return [text]
        return []
    tasks = {asyncio.create_task(coroutine): text for text, coroutine in work.items()}
    if not tasks:
        return []
    done, late = await asyncio.wait(tasks, timeout=budget)
    for task in late:
        task.cancel()
    for task in done:
        task.result()
    return [tasks[task] for task in late]
