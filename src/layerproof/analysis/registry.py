"""Every analyser, listed explicitly. A new one is one file, one line here, one fixture, one section
in `docs/reference/analysers.md`."""

from collections.abc import Iterable

from layerproof.analysis.apk import ApkAnalyser
from layerproof.analysis.dispatch import Dispatch
from layerproof.analysis.dotnet import DotnetAnalyser
from layerproof.analysis.dpkg import DpkgAnalyser
from layerproof.analysis.entries import EntriesAnalyser
from layerproof.analysis.go import GoAnalyser
from layerproof.analysis.interface import Analyser
from layerproof.analysis.java import JavaAnalyser
from layerproof.analysis.manifests import ManifestsAnalyser
from layerproof.analysis.node import NodeAnalyser
from layerproof.analysis.node_locks import NodeLocksAnalyser
from layerproof.analysis.os_release import OsReleaseAnalyser
from layerproof.analysis.php import PhpAnalyser
from layerproof.analysis.privileges import PrivilegesAnalyser
from layerproof.analysis.programs import ProgramsAnalyser
from layerproof.analysis.python import PythonAnalyser
from layerproof.analysis.rpm import RpmAnalyser
from layerproof.analysis.ruby import RubyAnalyser
from layerproof.analysis.rust import RustAnalyser
from layerproof.analysis.scripts import ScriptsAnalyser
from layerproof.analysis.secrets import SecretsAnalyser

ANALYSERS: tuple[Analyser, ...] = (
    ApkAnalyser(),
    DotnetAnalyser(),
    DpkgAnalyser(),
    EntriesAnalyser(),
    GoAnalyser(),
    JavaAnalyser(),
    ManifestsAnalyser(),
    NodeAnalyser(),
    NodeLocksAnalyser(),
    OsReleaseAnalyser(),
    PhpAnalyser(),
    PrivilegesAnalyser(),
    ProgramsAnalyser(),
    PythonAnalyser(),
    RpmAnalyser(),
    RubyAnalyser(),
    RustAnalyser(),
    ScriptsAnalyser(),
    SecretsAnalyser(),
)


def analysers_key(analysers: Iterable[Analyser]) -> str:
    """What facts were made with: "apk@1 dpkg@2 …", sorted by id."""
    return " ".join(sorted(f"{analyser.id}@{analyser.version}" for analyser in analysers))


def dispatch() -> Dispatch:
    """Look-up tables for all analysers."""
    return Dispatch(ANALYSERS)
