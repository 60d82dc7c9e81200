"""Ruby gems: installed ones by their specification, others by `Gemfile.lock`.

Source: RubyGems guides, "Specification reference"; Bundler, "Gemfile.lock". RubyGems writes one
`specifications/NAME-VERSION.gemspec` per installed gem, a Ruby program that is not run: read are
the assignments of plain strings that RubyGems itself writes.
"""

import re
from collections.abc import Iterator

from layerproof.analysis.collecting import ManyInOneFile, UnusableFieldError, licence, required
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

# Possessive (`*+`): hostile white space must not take the square of its length
_FIELD = re.compile(
    rb"^[ \t]*+\w++\.(name|version|licenses)[ \t]*+=[ \t]*+\[?(?:Gem::Version\.new[ \t]*+\(?)?"
    rb"[ \t]*+['\"]([^'\"\n]*)['\"]",
    re.MULTILINE,
)
_LOCKED = re.compile(rb"^    ([A-Za-z0-9_.-]+) \(([0-9][^()\s]*)\)[ \t]*$", re.MULTILINE)
_LOCK = b"Gemfile.lock"


def accepts(path: bytes) -> bool:
    """Whether the path is an installed gem's specification, or a lock file."""
    folder, _, name = path.rpartition(b"/")
    if name == _LOCK:
        return True
    return (b"/" + folder).endswith((b"/specifications", b"/specifications/default"))


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The gems of a file. Raises UnusableFieldError."""
    if path.endswith(_LOCK):
        for name, version in dict.fromkeys(_LOCKED.findall(data)):
            plain = required(version, "version")
            # `nokogiri (1.15.4-x86_64-linux)`: the platform is no part of the version
            number, _, platform = plain.partition("-")
            yield Package(PackageType.GEM, required(name, "name"), number, path, platform)
        return
    fields = dict(reversed(_FIELD.findall(data[: 1 << 20])))
    if b"name" not in fields or b"version" not in fields:
        raise UnusableFieldError("a specification without a plain name and version")
    yield Package(
        PackageType.GEM,
        required(fields[b"name"], "name"),
        required(fields[b"version"], "version"),
        path,
        licence=licence(fields.get(b"licenses", b"")),
    )


class RubyAnalyser:
    """Packages only."""

    id = "ruby"
    version = 1
    interest = Interest(names=frozenset((_LOCK,)), suffixes=(b".gemspec",), accepts=accepts)

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, accepts, parse)
