"""Every rule, in the order in which verdicts name them. Adding one is one line here."""

from typing import Any

from layerproof.rules.altered_package_file import AlteredPackageFile
from layerproof.rules.expression import Expression
from layerproof.rules.foreign_executable import ForeignExecutable
from layerproof.rules.image_config import ImageConfig
from layerproof.rules.interface import Rule
from layerproof.rules.learned_trust import LearnedTrust
from layerproof.rules.lying_base_label import LyingBaseLabel
from layerproof.rules.outdated_package import OutdatedPackage
from layerproof.rules.package_script import PackageScripts
from layerproof.rules.protected_path import ProtectedPath
from layerproof.rules.secret import Secret
from layerproof.rules.stale_base import StaleBase
from layerproof.rules.trusted_base import TrustedBase
from layerproof.rules.trusted_pusher import TrustedPusher
from layerproof.rules.vulnerable_package import VulnerablePackage

# Any: each rule takes its own settings, and the policy pairs them
RULES: tuple[Rule[Any], ...] = (
    TrustedBase(),
    StaleBase(),
    TrustedPusher(),
    VulnerablePackage(),
    OutdatedPackage(),
    ProtectedPath(),
    AlteredPackageFile(),
    ForeignExecutable(),
    PackageScripts(),
    LyingBaseLabel(),
    ImageConfig(),
    Secret(),
    LearnedTrust(),
    Expression(),
)
