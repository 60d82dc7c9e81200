"""What a gate needs of the world, as protocols.

A gate is an application that turns its own protocol into questions and answers back into it. It
never opens the index itself: `layerproof.server.gating` implements `Decider`, tests and `testing`
bring their own.
"""

from typing import Protocol

from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.model.verdict import Decision


class Decider(Protocol):
    """Answers about images, from the index. Never raises for what the world does: an index that
    does not answer is an answer, by the policy's word."""

    async def ask(self, question: Question) -> Answer:
        """Whether the image may run."""

    def unavailable(self, context: Context, reference: str, reason: str, remedy: str) -> Answer:
        """What the policy says when something else that is needed did not answer, such as a
        registry or an engine."""

    def forbid(self, context: Context, reason: str, remedy: str, reference: str = "") -> Answer:
        """What is answered to a request that may not be made as it is."""

    def call(self, context: Context, kind: str, default: Decision, reason: str) -> Answer:
        """What the policy says about a kind of call that names no image to be judged."""

    def note(self, context: Context, answer: Answer) -> None:
        """Count an answer that was given. It never blocks, and never fails."""
