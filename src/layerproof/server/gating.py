"""Answers for gates, from the index: `layerproof.gates.interface.Decider`.

1. A question is answered as the service's API answers it: the same cache, the same verdict.
2. Whatever goes wrong is an answer too, by the last policy that could be read; so a gate never
   hangs and never falls over. A question has a budget of time, and then it is unavailable.
3. The last policy is written beside the index, for a gate that starts while the database is gone.
4. Every answer is counted.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from layerproof.engine import gate
from layerproof.errors import ImageNotFoundError, LayerproofError, PolicyError
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.model.verdict import Decision
from layerproof.policy.model import Policy
from layerproof.server.decisions import Asked, Decisions, Freshness
from layerproof.server.service import Service
from layerproof.server.tallies import Tallies

BUDGET_SECONDS = 5.0
LEARNING_REMEDY = "it is judged once the index has read it: layerproof index IMAGE"

Learn = Callable[[Question], Awaitable[bool]]


class Gating:
    """Answers, for one event loop.

    `learn` reads an image that the index does not know, and tells whether it did; it has its own
    budget. `kept`: the file of the last policy.
    """

    def __init__(
        self,
        service: Service,
        freshness: Freshness,
        decisions: Decisions,
        tallies: Tallies,
        *,
        budget: float = BUDGET_SECONDS,
        kept: Path | None = None,
        learn: Learn | None = None,
        remedy: str = LEARNING_REMEDY,
    ) -> None:
        self._service = service
        self._freshness = freshness
        self._decisions = decisions
        self._tallies = tallies
        self._budget = budget
        self._kept = kept
        self._learn = learn
        self._remedy = remedy
        self._policy: Policy | None = None
        self._seen: tuple[object, ...] = ()  # the state in which it was read

    async def ask(self, question: Question) -> Answer:
        """See `Decider.ask`."""
        reference = question.names[0] if question.names else ""
        try:
            return await self._judged(question)
        except ImageNotFoundError:
            pass
        except (LayerproofError, TimeoutError) as error:
            return self._not_available(question.context, reference, error)
        try:
            if self._learn is not None and await self._learn(question):
                return await self._judged(question)
        except ImageNotFoundError:
            pass
        except (LayerproofError, TimeoutError) as error:
            return self._not_available(question.context, reference, error)
        policy = await asyncio.to_thread(self.policy)
        if policy is None:
            return gate.unavailable(
                None, reference, question.context, "the policy cannot be read", "see its log"
            )
        return gate.unknown(policy, reference, question.context, self._remedy)

    def unavailable(self, context: Context, reference: str, reason: str, remedy: str) -> Answer:
        """See `Decider.unavailable`."""
        return gate.unavailable(self._last(), reference, context, reason, remedy)

    def forbid(self, context: Context, reason: str, remedy: str, reference: str = "") -> Answer:
        """See `Decider.forbid`."""
        return gate.forbidden(self._last(), context, reason, remedy, reference)

    def call(self, context: Context, kind: str, default: Decision, reason: str) -> Answer:
        """See `Decider.call`."""
        policy = self._last()
        decided = default if policy is None else policy.call(context, kind, default)
        if decided is Decision.ADMIT:
            reason = ""
        remedy = f"an operator allows it with gates.{context.gate}.calls.{kind} of the policy"
        return gate.forbidden(policy, context, reason, remedy if reason else "", decided=decided)

    def note(self, context: Context, answer: Answer) -> None:
        """See `Decider.note`."""
        self._tallies.note(context, answer)
        self._service.metrics.gates.labels(
            context.gate, str(answer.decision), str(answer.decided), str(answer.cause)
        ).inc()

    def policy(self) -> Policy | None:
        """The policy that rules now, else the last one that could be read; None: there never was
        one. Blocks: not for an event loop."""
        try:
            found = self._service.policy()
        except LayerproofError:
            return self._last()
        if found is not self._policy:
            self._policy = found
            self._keep(found)
        return found

    async def _judged(self, question: Question) -> Answer:
        names = tuple(name for name in question.names if "@" in name or name.startswith("sha256:"))
        if not names:  # a tag says nothing about bytes
            raise ImageNotFoundError("the image is not named by a digest")
        asked = Asked(names, question.platform, question.context, question.means)
        async with asyncio.timeout(self._budget):
            stamp = await self._freshness.now()
            now = self._service.clock.now()
            answer = await self._decisions.answer(
                ("gate", *question.key), stamp, now, lambda: asked
            )
        if stamp[1:3] != self._seen:  # of ledger and policy file
            self._seen = stamp[1:3]
            await asyncio.to_thread(self.policy)
        return answer.gate

    def _not_available(self, context: Context, reference: str, error: Exception) -> Answer:
        if isinstance(error, LayerproofError):
            reason, remedy = str(error), error.remedy
        else:
            reason, remedy = f"the index took longer than {self._budget:g} seconds", ""
        what = "the policy" if isinstance(error, PolicyError) else "the index"
        return self.unavailable(
            context, reference, f"{what} cannot be asked: {reason}", remedy or "see /readyz"
        )

    def _last(self) -> Policy | None:
        """Without asking a database."""
        if self._policy is None and self._kept is not None:
            with suppress(OSError, PolicyError):
                self._policy = Policy.from_json(self._kept.read_bytes())
        return self._policy

    def _keep(self, policy: Policy) -> None:
        if self._kept is None:
            return
        # A disk that is full costs no more than what the next start may need.
        with suppress(OSError):
            folder = self._kept.parent
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".policy-", dir=folder)
            try:
                with os.fdopen(handle, "wb") as out:
                    out.write(policy.to_json())
                os.replace(name, self._kept)
            except OSError:
                os.unlink(name)
                raise
