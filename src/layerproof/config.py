"""Typed settings, parsed once from the environment; command-line options override them.

| variable | meaning |
| --- | --- |
| LAYERPROOF_INDEX | a file, by default `$XDG_DATA_HOME/layerproof/index.db`, or a PostgreSQL URL |
| LAYERPROOF_POLICY | the policy file; default: the built-in policy |
| LAYERPROOF_ADVISORIES | the advisory file; default: `advisories.db` beside the index |
| LAYERPROOF_ADVISORY_MIRROR | where `advisories update` downloads from, instead of the projects |
| LAYERPROOF_QUARANTINE | the folder of pulled layers; default: `quarantine` beside the index |
| LAYERPROOF_WORKERS | processes that read layers side by side; default: one per processor |
| LAYERPROOF_NATIVE | 0: digests without the native part |
| LAYERPROOF_INSECURE_REGISTRIES | hosts, comma separated, that may be spoken to in plain HTTP |
| LAYERPROOF_REGISTRY_MIRRORS | `host=mirror[,mirror…]` entries, separated by blanks |
| LAYERPROOF_TOKEN_REALMS | further hosts that may be sent registry credentials, comma separated |
| LAYERPROOF_SERVICE_CONFIG | the service's file: registries, networks, retention, logins |
| LAYERPROOF_LISTEN | where `serve` listens, host:port; default 127.0.0.1:8686 |
| LAYERPROOF_TLS_CERT | certificate chain of `serve`, read again when it changes |
| LAYERPROOF_TLS_KEY | its key, likewise |
| LAYERPROOF_SERVER | a service that the command line asks instead of an index of its own |
| LAYERPROOF_TOKEN | its token |
| LAYERPROOF_LIMIT_<NAME> | one cap of `layerproof.oci.limits.Limits`, in bytes or as a count |

A password of PostgreSQL comes by libpq's means: PGPASSWORD, PGPASSFILE.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from layerproof.errors import UsageError
from layerproof.oci.limits import Limits

_DATABASES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set from outside."""

    index: Path  # the file; where `database` is given: where it would be, for what lies beside it
    quarantine: Path
    advisories: Path
    advisory_mirror: str = ""
    policy: Path | None = None
    workers: int = 0  # 0: one per processor
    native: bool = True
    insecure_registries: frozenset[str] = frozenset()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token_realms: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    database: str = field(default="", repr=False)  # a PostgreSQL URL: it may hold a password
    service_config: Path | None = None
    listen: str = "127.0.0.1:8686"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    server: str = ""
    token: str = field(default="", repr=False)


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """From environment variables. Raises UsageError that names the variable."""
    named = environ.get("LAYERPROOF_INDEX", "")
    database = named if named.startswith(_DATABASES) else ""
    server = environ.get("LAYERPROOF_SERVER", "").rstrip("/")
    index = (
        Path(named)
        if named and not database
        else _data_home(environ, needed=not (database or server)) / "layerproof/index.db"
    )
    return Settings(
        index=index,
        quarantine=Path(environ.get("LAYERPROOF_QUARANTINE") or index.with_name("quarantine")),
        advisories=Path(environ.get("LAYERPROOF_ADVISORIES") or index.with_name("advisories.db")),
        advisory_mirror=environ.get("LAYERPROOF_ADVISORY_MIRROR", "").rstrip("/"),
        policy=_path(environ, "LAYERPROOF_POLICY"),
        workers=_integer(environ, "LAYERPROOF_WORKERS", 0),
        native=bool(_integer(environ, "LAYERPROOF_NATIVE", 1)),
        insecure_registries=_words(environ, "LAYERPROOF_INSECURE_REGISTRIES"),
        mirrors=_mirrors(environ),
        token_realms=_words(environ, "LAYERPROOF_TOKEN_REALMS"),
        limits=_limits(environ),
        database=database,
        service_config=_path(environ, "LAYERPROOF_SERVICE_CONFIG"),
        listen=environ.get("LAYERPROOF_LISTEN") or "127.0.0.1:8686",
        tls_certificate=_path(environ, "LAYERPROOF_TLS_CERT"),
        tls_key=_path(environ, "LAYERPROOF_TLS_KEY"),
        server=server,
        token=environ.get("LAYERPROOF_TOKEN", ""),
    )


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name)
    return Path(text) if text else None


def _data_home(environ: Mapping[str, str], *, needed: bool) -> Path:
    home = environ.get("XDG_DATA_HOME", "")
    # XDG Base Directory Specification: relative paths are invalid and must be ignored.
    if home.startswith("/"):
        return Path(home)
    try:
        return Path.home() / ".local/share"
    except RuntimeError as error:
        if not needed:
            return Path("/nonexistent")
        raise UsageError(
            "there is no home folder to keep the index in",
            where="LAYERPROOF_INDEX",
            remedy="name a file with --index or LAYERPROOF_INDEX",
        ) from error


def _integer(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UsageError(
            f"{text!r} is not a whole number", where=name, remedy=f"for example: {name}=2"
        )
    return int(text)


def _words(environ: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(word.strip() for word in environ.get(name, "").split(",") if word.strip())


def _mirrors(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    name = "LAYERPROOF_REGISTRY_MIRRORS"
    found = {}
    for item in environ.get(name, "").split():
        host, equals, mirrors = item.partition("=")
        if not (host and equals and mirrors):
            raise UsageError(
                f"{item!r} is not HOST=MIRROR", where=name, remedy="docker.io=mirror.example:5000"
            )
        found[host] = tuple(m for m in mirrors.split(",") if m)
    return found


def _limits(environ: Mapping[str, str]) -> Limits:
    prefix = "LAYERPROOF_LIMIT_"
    names = {prefix + f.name.upper(): f.name for f in fields(Limits)}
    unknown = [v for v in environ if v.startswith(prefix) and v not in names]
    if unknown:
        raise UsageError(
            "there is no such limit", where=unknown[0], remedy="one of: " + ", ".join(sorted(names))
        )
    changed = {f: _integer(environ, v, 0) for v, f in names.items() if environ.get(v)}
    return replace(Limits(), **changed)
