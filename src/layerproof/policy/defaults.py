"""The policy that holds when nobody says otherwise: every rule refuses, but `outdated-package` and
`learned-trust`.

The protected paths are chosen so that a layer made by an ordinary `apt-get install`, `apk add`,
`pip install`, `npm install` or `COPY` passes, and one that changes who may log in, what runs, what
is loaded or whom the system believes does not. An upgrade of the base's own packages, and a package
that makes an account, do change such files: they belong into the base. Each list can be replaced or
extended in the policy file; `docs/reference/rules/protected-path.md` explains the choice.
"""

from collections.abc import Mapping

from layerproof.model.finding import Effect
from layerproof.policy.model import Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.interface import RuleSettings
from layerproof.rules.learned_trust import LearnedTrust
from layerproof.rules.outdated_package import OutdatedPackage
from layerproof.rules.protected_path import (
    BUILT_IN_EXCEPTIONS,
    ProtectedPath,
    ProtectedPathSettings,
)
from layerproof.rules.registry import RULES

# What a layer may not replace, delete, re-mode, re-link or shadow, if a layer below has it.
PROTECTED_PATHS: tuple[str, ...] = (
    # the folders that lead to everything else
    "/",
    "/etc",
    "/root",
    "/usr",
    "/var",
    # who there is, and who may become whom
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/login.defs",
    "/etc/securetty",
    "/etc/sudo.conf",
    "/etc/sudoers",
    "/etc/sudoers.d/**",
    "/etc/doas.conf",
    "/etc/doas.d/**",
    "/etc/polkit-1/**",
    "/usr/share/polkit-1/**",
    "/etc/pam.conf",
    "/etc/pam.d/**",
    "/etc/security/**",
    "/etc/ssh/**",
    "/root/.ssh/**",
    "/home/*/.ssh/**",
    # what programs load and where they look; not ld.so.cache, which every library changes
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/**",
    "/etc/ld-musl-*.path",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/python3*/**",
    "/etc/alternatives/**",
    # whom the system believes
    "/etc/ca-certificates.conf",
    "/etc/ca-certificates/**",
    "/etc/ssl/**",
    "/etc/pki/**",
    "/etc/crypto-policies/**",
    "/usr/share/ca-certificates/**",
    "/usr/local/share/ca-certificates/**",
    "/usr/share/keyrings/**",
    # where packages come from; not apk's `world` and the package databases, which are meant to grow
    "/etc/apt/**",
    "/etc/dpkg/**",
    "/etc/apk/arch",
    "/etc/apk/keys/**",
    "/etc/apk/repositories",
    "/etc/apk/repositories.d/**",
    "/usr/share/apk/**",
    "/etc/dnf/**",
    "/etc/rpm/**",
    "/etc/yum.conf",
    "/etc/yum/**",
    "/etc/yum.repos.d/**",
    "/etc/zypp/**",
    "/etc/pacman.conf",
    "/etc/pip.conf",
    "/etc/npmrc",
    # what shells, schedulers and init run on their own
    "/etc/profile",
    "/etc/profile.d/**",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/etc/bash/**",
    "/etc/environment",
    "/etc/zsh/**",
    "/etc/csh.*",
    "/etc/skel/**",
    "/root/.bash_profile",
    "/root/.bashrc",
    "/root/.profile",
    "/root/.zshrc",
    "/etc/anacrontab",
    "/etc/crontab",
    "/etc/crontabs/**",
    "/etc/cron.*/**",
    "/var/spool/cron/**",
    "/etc/init.d/**",
    "/etc/inittab",
    "/etc/rc.local",
    "/etc/systemd/**",
    # what the system says it is
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/alpine-release",
    "/etc/debian_version",
    "/etc/lsb-release",
    "/etc/redhat-release",
    # programs and libraries; the first six also stand for /usr/bin and so on
    "/bin/**",
    "/sbin/**",
    "/lib/**",
    "/lib32/**",
    "/lib64/**",
    "/libx32/**",
    "/usr/libexec/**",
    "/usr/local/bin/**",
    "/usr/local/sbin/**",
)

# What a layer may not even create. No package of a distribution brings these for its own working,
# except `sudo`, `doas` and PAM themselves, which hand out rights and are worth a look, and few that
# widen the library search (`libfakeroot`, CUDA). Not `cron.d`, `profile.d`, `systemd` or single PAM
# services: ordinary packages bring files there, and they act only where such a service is run.
REFUSED_CREATIONS: tuple[str, ...] = (
    "/etc/ld.so.preload",
    "/etc/ld-musl-*.path",
    "/etc/ld.so.conf.d/**",
    "/etc/pam.d/other",
    "/etc/doas.conf",
    "/etc/doas.d/**",
    "/etc/sudoers",
    "/etc/sudoers.d/**",
    "/etc/hosts.equiv",
    "/etc/rc.local",
    "/etc/ssh/shosts.equiv",
    "/etc/ssh/sshrc",
    "/etc/apt/trusted.gpg",
    "/etc/apt/trusted.gpg.d/**",
    "/home/*/.rhosts",
    "/home/*/.shosts",
    "/home/*/.ssh/authorized_keys",
    "/home/*/.ssh/authorized_keys2",
    "/home/*/.ssh/rc",
    "/root/.rhosts",
    "/root/.shosts",
    "/root/.ssh/authorized_keys",
    "/root/.ssh/authorized_keys2",
    "/root/.ssh/rc",
)

# Inside protected folders, and changed by every ordinary installation. The rule has them, since it
# lets them free less than an operator's own exceptions.
EXCEPTIONS: tuple[str, ...] = BUILT_IN_EXCEPTIONS

# Settings whose defaults are a matter of policy, not of the rule.
_SETTINGS: Mapping[str, RuleSettings] = {
    ProtectedPath.id: ProtectedPathSettings(
        paths=PROTECTED_PATHS, creation=REFUSED_CREATIONS, exceptions=EXCEPTIONS
    ),
}

# The one asks for a feed of newest versions, and to be behind harms nobody by itself. The other
# asks for a model, which somebody has to train first.
_EFFECTS: Mapping[str, Effect] = {
    OutdatedPackage.id: Effect.IGNORE,
    LearnedTrust.id: Effect.IGNORE,
}

DEFAULT_POLICY = Policy(
    rules={
        rule.id: RulePolicy(
            _SETTINGS.get(rule.id) or rule.settings(), _EFFECTS.get(rule.id, Effect.REFUSE)
        )
        for rule in RULES
    }
)
