"""`image-config`: the image's config makes a container run something else, or as somebody else.

Judged is the config that a runtime takes (OCI image-spec config.md), against that of the trusted
base where the index knows it: what the base already says is not this image's doing.

| check | what is found | severity |
| --- | --- | --- |
| `preload` | LD_PRELOAD or LD_AUDIT: code in every program | critical |
| `interpreter-startup` | variables by which shells and interpreters run code first | high |
| `search-path` | PATH with an empty or relative element, or a folder of everybody | high |
| `volume` | a volume over a folder of the system hides what the layers hold | medium |
| `health-check` | a health check that runs what it downloads | medium |
| `entrypoint` | the base's entry point is replaced | medium |
| `loader-path` | LD_LIBRARY_PATH or GCONV_PATH | medium |
| `search-order` | a new folder is searched before those of the base | low |
| `exposed-port` | a port of remote control: ssh, telnet, Docker, RDP, VNC | low |
| `on-build` | triggers that run in images built on this one | low |
| `user-root` | no user, or root, over a base that names another | medium |

The config belongs to no layer: findings are on the whole image. Checks in the setting `alert` have
at most that effect, those in `ignore` are left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.rules.interface import RuleSettings, choice, words
from layerproof.rules.text import show_text

CHECKS: Mapping[str, Severity] = {
    "preload": Severity.CRITICAL,
    "interpreter-startup": Severity.HIGH,
    "search-path": Severity.HIGH,
    "volume": Severity.MEDIUM,
    "health-check": Severity.MEDIUM,
    "entrypoint": Severity.MEDIUM,
    "loader-path": Severity.MEDIUM,
    "search-order": Severity.LOW,
    "exposed-port": Severity.LOW,
    "on-build": Severity.LOW,
    "user-root": Severity.MEDIUM,
}
# What ordinary application images do, for good reasons, now and then.
_ALERT_ONLY = (
    "entrypoint", "loader-path", "search-order", "exposed-port", "on-build", "user-root",
)  # fmt: skip
MAX_SHOWN = 200  # characters of a value that a finding repeats

_PRELOAD = frozenset(("LD_PRELOAD", "LD_AUDIT"))
_LOADER_PATH = frozenset(("LD_LIBRARY_PATH", "GCONV_PATH"))
# bash(1), dash(1), python(1), perlrun(1), ruby(1), git(1): run or loaded before anything asked for
_STARTUP = frozenset(
    (
        "BASH_ENV", "ENV", "PROMPT_COMMAND", "PYTHONSTARTUP", "PERL5OPT", "RUBYOPT", "GIT_SSH",
        "GIT_SSH_COMMAND",
    )
)  # fmt: skip
# Options among others that load code: node(1) --require and --import, java(1) agents
_STARTUP_OPTIONS = {
    "NODE_OPTIONS": re.compile(r"(?:^|\s)(?:-r|--require|--import|--loader|--experimental-loader)"),
    "JAVA_TOOL_OPTIONS": re.compile(r"-(?:javaagent|agentlib|agentpath)"),
    "JDK_JAVA_OPTIONS": re.compile(r"-(?:javaagent|agentlib|agentpath)"),
}
_ANYBODYS = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
_SYSTEM = frozenset(
    ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root",
     "/run", "/sbin", "/sys", "/usr")
)  # fmt: skip
_PORTS = {"22": "ssh", "23": "telnet", "2375": "Docker", "2376": "Docker", "3389": "RDP",
          "5900": "VNC"}  # fmt: skip
_FETCH = re.compile(r"\b(?:curl|wget|fetch)\b[^|;&]*\|\s*(?:sudo\s+)?(?:/bin/)?(?:ba|da|z|k)?sh\b")


@dataclass(frozen=True, slots=True)
class ImageConfigSettings(RuleSettings):
    """Lists of checks, by their names above; and whether root counts where the base has it, too."""

    alert: tuple[str, ...] = words("alert", tuple(CHECKS), default=_ALERT_ONLY)
    ignore: tuple[str, ...] = words("ignore", tuple(CHECKS))
    root_user: str = choice("rootUser", ("over-base", "always"), default="over-base")


class Hit(NamedTuple):
    """Something that a check found."""

    check: str
    message: str
    remedy: str
    value: str


class ImageConfig:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "image-config"
    severity: ClassVar[Severity] = Severity.MEDIUM
    doc: ClassVar[str] = (
        "The image's config makes a container run other code, or as root, beyond what its trusted "
        "base says."
    )
    settings: ClassVar[type[ImageConfigSettings]] = ImageConfigSettings

    def check(self, facts: ImageFacts, settings: ImageConfigSettings) -> tuple[Finding, ...]:
        """Findings on the whole image. A trusted image itself has nothing above its base."""
        if _is_trusted_itself(facts):
            return ()
        config, base = _config(facts.image), _base_config(facts)
        return tuple(
            self._finding(hit, settings)
            for hit in _hits(config, base, always_root=settings.root_user == "always")
            if hit.check not in settings.ignore
        )

    def _finding(self, hit: Hit, settings: ImageConfigSettings) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=CHECKS[hit.check],
            message=hit.message,
            remedy=hit.remedy,
            evidence={"check": hit.check, "value": hit.value},
            effect=Effect.ALERT if hit.check in settings.alert else Effect.REFUSE,
        )


Config = Mapping[str, object]


def _config(image: Image) -> Config:
    found = image.config.get("config")
    return found if isinstance(found, dict) else {}


def _base_config(facts: ImageFacts) -> Config:
    """The trusted base's config; empty where there is none or the index does not have it."""
    if facts.base is None:
        return {}
    known = facts.below.get(facts.base.chain_id, ())
    trusted = {record.config_digest for record in facts.trust if record.active(facts.now)}
    for image in known:
        if image.image.config_digest in trusted:
            return _config(image.image)
    return {}


def _is_trusted_itself(facts: ImageFacts) -> bool:
    """Whether this very config was trusted. The same layers with another config were not."""
    mine = facts.image.config_digest
    return facts.base is not None and any(
        r.config_digest == mine and r.active(facts.now) for r in facts.trust
    )


def _hits(config: Config, base: Config, *, always_root: bool) -> Iterator[Hit]:
    yield from _environment(_env(config), _env(base))
    yield from _path(_env(config).get("PATH"), _env(base).get("PATH"))
    yield from _volumes(config, base)
    yield from _health(config, base)
    yield from _entrypoint(config, base)
    yield from _ports(config, base)
    yield from _on_build(config, base)
    if always_root or not _is_root(base):
        yield from _user(config)


def _environment(env: Mapping[str, str], base: Mapping[str, str]) -> Iterator[Hit]:
    for name, value in env.items():
        if not value or base.get(name) == value:
            continue
        check = _check_of(name, value)
        if check:
            yield Hit(
                check,
                f"sets {show_text(name)}={_shown(value)}",
                f"build without {show_text(name)}, or set it in the trusted base",
                _shown(value),
            )


def _check_of(name: str, value: str) -> str:
    if name in _PRELOAD:
        return "preload"
    if name in _LOADER_PATH:
        return "loader-path"
    options = _STARTUP_OPTIONS.get(name)
    if name in _STARTUP or (options is not None and options.search(value)):
        return "interpreter-startup"
    return ""


def _path(path: str | None, below: str | None) -> Iterator[Hit]:
    if path is None or path == below:
        return
    folders = path.split(":")
    theirs = below.split(":") if below else []
    remedy = "name only folders of the system and of the application, by absolute paths"
    odd = [folder for folder in folders if not folder.startswith("/")]
    if odd:
        what = "an empty element" if not odd[0] else f"the relative folder {_shown(odd[0])}"
        yield Hit("search-path", f"PATH has {what}: {_shown(path)}", remedy, _shown(path))
    for folder in folders:
        if folder not in theirs and _anybodys(folder):
            message = f"PATH has {_shown(folder)}, where anybody can put programs: {_shown(path)}"
            yield Hit("search-path", message, remedy, _shown(path))
            break
    first = next((n for n, folder in enumerate(folders) if folder in theirs), 0)
    added = [folder for folder in folders[:first] if folder.startswith("/")]
    if added:
        names = ", ".join(map(_shown, added[:5]))
        message = f"PATH searches {names} before the folders of the base"
        yield Hit("search-order", message, "put new folders behind those of the base", _shown(path))


def _anybodys(folder: str) -> bool:
    clean = "/" + "/".join(part for part in folder.split("/") if part not in ("", "."))
    return any(clean == place or clean.startswith(place + "/") for place in _ANYBODYS)


def _volumes(config: Config, base: Config) -> Iterator[Hit]:
    theirs = _keys(base, "Volumes")
    for volume in sorted(_keys(config, "Volumes") - theirs):
        if (volume.rstrip("/") or "/") in _SYSTEM:
            yield Hit(
                "volume",
                f"declares a volume over {_shown(volume)}, which hides what the layers hold there",
                "declare volumes for data folders only",
                _shown(volume),
            )


def _health(config: Config, base: Config) -> Iterator[Hit]:
    mine, theirs = _table(config.get("Healthcheck")), _table(base.get("Healthcheck"))
    command = " ".join(_list(mine.get("Test")))
    if command and command != " ".join(_list(theirs.get("Test"))) and _FETCH.search(command[:4096]):
        yield Hit(
            "health-check",
            f"the health check runs what it downloads: {_shown(command)}",
            "ask the application, and run nothing that comes from outside",
            _shown(command),
        )


def _entrypoint(config: Config, base: Config) -> Iterator[Hit]:
    mine, theirs = _list(config.get("Entrypoint")), _list(base.get("Entrypoint"))
    if theirs and mine[: len(theirs)] != theirs:
        now = f"is replaced by {_shown(' '.join(mine))}" if mine else "is gone"
        yield Hit(
            "entrypoint",
            f"the base's entry point {_shown(' '.join(theirs))} {now}",
            "keep the base's entry point and give yours as the command (CMD)",
            _shown(" ".join(mine)),
        )


def _ports(config: Config, base: Config) -> Iterator[Hit]:
    for port in sorted(_keys(config, "ExposedPorts") - _keys(base, "ExposedPorts")):
        service = _PORTS.get(port.partition("/")[0])
        if service and not port.endswith("/udp"):
            yield Hit(
                "exposed-port",
                f"exposes {_shown(port)} ({service})",
                "run no remote control in a container; remove EXPOSE",
                _shown(port),
            )


def _on_build(config: Config, base: Config) -> Iterator[Hit]:
    mine = _list(config.get("OnBuild"))
    if mine and mine != _list(base.get("OnBuild")):
        yield Hit(
            "on-build",
            f"has build triggers, which run in images built on it: {_shown(mine[0])}",
            "write the steps into the images that need them",
            _shown("; ".join(mine)),
        )


def _user(config: Config) -> Iterator[Hit]:
    if _is_root(config):
        name = _user_name(config)
        said = f"the user is {_shown(name)}" if name else "no user is named"
        yield Hit(
            "user-root",
            f"{said}: programs start as root",
            "name a user of the application: USER app",
            _shown(name),
        )


def _is_root(config: Config) -> bool:
    name = _user_name(config)
    return name in ("", "root") or (name.isascii() and name.isdigit() and not name.strip("0"))


def _user_name(config: Config) -> str:
    user = config.get("User")
    return user.partition(":")[0] if isinstance(user, str) else ""


# --- hostile documents: what has another type is not there ---------------------------------------


def _env(config: Config) -> dict[str, str]:
    """The last assignment of a name counts, as in runtimes."""
    return {
        name: value
        for name, equals, value in (text.partition("=") for text in _list(config.get("Env")))
        if equals
    }


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _keys(config: Config, name: str) -> set[str]:
    return {key for key in _table(config.get(name)) if isinstance(key, str)}


def _list(value: object) -> Sequence[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _shown(text: str) -> str:
    return show_text(text, MAX_SHOWN)
