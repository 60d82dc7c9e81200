"""The seam of the rules: facts about one image go in, findings come out.

1. A rule is pure: the same facts and settings give the same findings in the same order. Time is a
   field of the facts.
2. It judges the layers above the base only (`facts.above_base`); the base is trusted.
3. It says `fail` for what it saw and `unknown` for what it could not tell. No finding is a pass,
   so a rule that lacks facts says so.
4. It leaves effects to the policy: `Finding.effect` is set by the evaluator. A rule may set a
   milder one, which the policy cannot make harsher again, for a finding that endangers nothing.
5. Everything in the facts that came from an image is hostile: see `layerproof.rules.text`.

A rule is one file here, one line in `layerproof.rules.registry`, one page below
`docs/reference/rules`, one test file below `tests/unit/rules`; all bear its id.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, TypeVar

from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a policy may set for a rule besides its effect. Rules without settings use this one.

    Fields are made by the functions below, which also say how a policy file writes
    them.
    """


class Setting(NamedTuple):
    """One key below `rules.<id>` in a policy file."""

    key: str
    # "globs", "flag", "choice", "words", "texts", "days", "percent", "names" or "expressions"
    kind: str
    choices: tuple[str, ...] = ()  # of a choice, and of words
    extra_key: str = ""  # of globs: the key that adds to the default list instead
    may_be_empty: bool = False  # of globs
    may_be_everything: bool = True  # of globs: whether `/**` is allowed
    # of globs: each begins with one of these, where `*` is any one segment; empty: with anything
    below: tuple[str, ...] = ()
    form: str = ""  # of texts: a regular expression that each matches as a whole
    example: str = ""  # of texts
    item: Any = None  # of expressions: the dataclass that holds one
    of: str = ""  # of names: the part of the policy that defines them


def globs(
    key: str,
    extra_key: str,
    *,
    default: tuple[str, ...] = (),
    may_be_empty: bool = False,
    may_be_everything: bool = True,
    below: tuple[str, ...] = (),
) -> Any:
    """A field that holds path globs (`layerproof.rules.globs`)."""
    setting = Setting(key, "globs", (), extra_key, may_be_empty, may_be_everything, below)
    return field(default=default, metadata={"setting": setting})


def flag(key: str, *, default: bool) -> Any:
    """A field that holds true or false."""
    return field(default=default, metadata={"setting": Setting(key, "flag")})


def choice(key: str, choices: tuple[str, ...], *, default: str) -> Any:
    """A field that holds one of a few words."""
    return field(default=default, metadata={"setting": Setting(key, "choice", choices)})


def words(key: str, choices: tuple[str, ...], *, default: tuple[str, ...] = ()) -> Any:
    """A field that holds a list of some of a few words."""
    return field(default=default, metadata={"setting": Setting(key, "words", choices)})


def texts(key: str, *, form: str, example: str, default: tuple[str, ...] = ()) -> Any:
    """A field that holds a list of texts of one form."""
    setting = Setting(key, "texts", form=form, example=example)
    return field(default=default, metadata={"setting": setting})


def days(key: str, *, default: int) -> Any:
    """A field that holds a whole number of days, from 0 on."""
    return field(default=default, metadata={"setting": Setting(key, "days")})


def percent(key: str, *, default: int) -> Any:
    """A field that holds a whole number from 0 to 100."""
    return field(default=default, metadata={"setting": Setting(key, "percent")})


def names(key: str, *, of: str) -> Any:
    """A field that holds names of things that the policy itself defines; empty: all of them."""
    return field(default=(), metadata={"setting": Setting(key, "names", of=of)})


def expressions(key: str, *, item: type[Any]) -> Any:
    """A field that holds named CEL expressions, each a `rules.expression.Condition`."""
    return field(default=(), metadata={"setting": Setting(key, "expressions", item=item)})


def settings_of(settings: type[RuleSettings]) -> dict[str, Setting]:
    """The settings of a rule by field name."""
    return {item.name: item.metadata["setting"] for item in fields(settings)}


SettingsT_contra = TypeVar("SettingsT_contra", bound=RuleSettings, contravariant=True)


class Rule(Protocol[SettingsT_contra]):
    """One rule; listed in `layerproof.rules.registry`."""

    @property
    def id(self) -> str:
        """Stable kebab-case name: in policies, in machine output, of its files."""

    @property
    def severity(self) -> Severity:
        """Of its ordinary finding; a policy may set another."""

    @property
    def doc(self) -> str:
        """One sentence: when a layer or an image fails."""

    @property
    def settings(self) -> type[RuleSettings]:
        """The type of its settings; without arguments, its defaults."""

    def check(self, facts: ImageFacts, settings: SettingsT_contra) -> tuple[Finding, ...]:
        """Judge. Raises nothing, whatever the facts hold."""


def begins_below(glob: str, folders: tuple[str, ...]) -> bool:
    """Whether all that `glob` matches begins with one of `folders` (`Setting.below`)."""
    patterns = (re.escape(folder).replace(r"\*", r"(?!\*\*)[^/]+") for folder in folders)
    return any(re.match(pattern, glob) for pattern in patterns)
