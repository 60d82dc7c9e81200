"""The service's file: YAML, read with positions, so that errors name line, column and remedy.

registries:
  - host: registry.example:5000
    repositories: ["team/*", tools/base]
    interval: 15m
    newestTags: 20
networks:
  - {cidr: 10.0.0.0/8, name: office}
geoip: /usr/share/GeoIP/GeoLite2-Country.mmdb
forwardedAddresses: [registry.example:5000]
allowedRegistries: [registry.example:5000, docker.io]
retention: {events: 400d, verdicts: 90d, jobs: 30d, images: 365d}
requestsPerSecond: 5000
oidc:
  issuer: https://login.example
  clientId: layerproof
  clientSecretFile: /run/secrets/oidc
  redirectUrl: https://layerproof.example/api/v1/login/callback
  roleClaim: groups
  roles: {layerproof-admins: admin, engineers: viewer}
kubernetes: {…}    # see layerproof.gates.kubernetes.settings
notify:
  - {kind: slack, urlFile: /run/secrets/slack-url, least: critical}
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from layerproof.engine.reconcile import Polled
from layerproof.errors import LayerproofError, PolicyError, UsageError
from layerproof.gates.kubernetes.settings import KubernetesSettings, read_kubernetes
from layerproof.model.access import Role
from layerproof.model.reference import is_registry, parse_reference
from layerproof.monitors.networks import OwnNetwork
from layerproof.policy.document import (
    MAX_BYTES,
    DocumentError,
    Item,
    Node,
    Number,
    Problem,
    parse_document,
    policy_error,
)
from layerproof.policy.nodes import Nodes
from layerproof.rules.globs import check_glob
from layerproof.service_notify import Told, read_told

_PERIOD = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MOST_REGISTRIES = 200
_MOST_NETWORKS = 10_000
SHORTEST_INTERVAL = timedelta(seconds=5)
MOST_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class Look:
    """A registry to look at every so often."""

    polled: Polled
    interval: timedelta


@dataclass(frozen=True, slots=True)
class Keep:
    """How long to keep what; None: for ever."""

    events: timedelta | None = None
    verdicts: timedelta | None = timedelta(days=90)
    jobs: timedelta | None = timedelta(days=30)
    images: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Oidc:
    """How people log in (OpenID Connect Core 1.0)."""

    issuer: str
    client_id: str
    client_secret_file: Path | None
    redirect_url: str
    role_claim: str
    roles: Mapping[str, Role]  # a value of the claim → role


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """All of it; every part has a default."""

    registries: tuple[Look, ...] = ()
    networks: tuple[OwnNetwork, ...] = ()
    geoip: Path | None = None
    forwarded_addresses: frozenset[str] = (
        frozenset()
    )  # registries behind a proxy that names clients
    allowed_registries: frozenset[str] = frozenset()  # that operators may name; empty: any
    keep: Keep = field(default_factory=Keep)
    requests_per_second: int = 5000  # of one caller, in one process
    oidc: Oidc | None = None
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    notify: tuple[Told, ...] = ()


def load_service_config(file: Path | None) -> ServiceConfig:
    """Read the file; without one, the defaults. Raises UsageError; PolicyError with every problem
    found."""
    if file is None:
        return ServiceConfig()
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(file),
            remedy="give LAYERPROOF_SERVICE_CONFIG a file that exists",
        ) from error
    return parse_service_config(data, where=str(file))


def parse_service_config(data: bytes, *, where: str) -> ServiceConfig:
    """Raises PolicyError with every problem found."""
    problems: list[Problem] = []
    config = ServiceConfig()
    try:
        root = parse_document(data, problems)
        if root.value is not None:
            config = _Reader(problems).config(root)
    except DocumentError as error:
        problems = [error.problem]
    if problems:
        raise policy_error(problems, where)
    return config


class _Reader(Nodes):
    def config(self, root: Node) -> ServiceConfig:
        keys = self.mapping(
            root,
            "the service's file",
            (
                "registries",
                "networks",
                "geoip",
                "forwardedAddresses",
                "allowedRegistries",
                "retention",
                "requestsPerSecond",
                "oidc",
                "kubernetes",
                "notify",
            ),
        )
        geoip = self._text(keys, "geoip", "the path of an mmdb file", "")
        forwarded = self.items(keys, "forwardedAddresses", _MOST_REGISTRIES, _check_host)
        allowed = self.items(keys, "allowedRegistries", _MOST_REGISTRIES, _check_host)
        return ServiceConfig(
            allowed_registries=frozenset(allowed),
            registries=self._registries(keys),
            networks=tuple(self._all(keys, "networks", _MOST_NETWORKS, self._network)),
            geoip=Path(geoip) if geoip else None,
            forwarded_addresses=frozenset(forwarded),
            keep=self._keep(keys),
            requests_per_second=self._count(keys, "requestsPerSecond", 1_000_000, 5000),
            oidc=self._oidc(keys["oidc"].value) if "oidc" in keys else None,
            kubernetes=read_kubernetes(self, keys["kubernetes"].value)
            if "kubernetes" in keys
            else KubernetesSettings(),
            notify=tuple(self._all(keys, "notify", 20, lambda node: read_told(self, node))),
        )

    def _registries(self, keys: Mapping[str, Item]) -> tuple[Look, ...]:
        found = tuple(self._all(keys, "registries", _MOST_REGISTRIES, self._registry))
        seen: set[str] = set()
        for number, item in enumerate(found):
            host = item.polled.host
            if host and host in seen:
                self.note(
                    keys["registries"].value.value[number],
                    f"the registry {host!r} stands twice",
                    "name all its repositories in one place",
                )
            seen.add(host)
        return found

    def _registry(self, node: Node) -> Look:
        keys = self.mapping(node, "a registry", ("host", "repositories", "interval", "newestTags"))
        host = self._text(keys, "host", "a host[:port]", None, node)
        if host:
            try:
                _check_host(host)
            except PolicyError as error:
                self.note(keys["host"].value, error.message, error.remedy)
        repositories = self.items(keys, "repositories", 1000, _check_repository)
        if "repositories" not in keys:
            self.note(node, "repositories are missing", 'name some, or all: ["**"]')
        return Look(
            Polled(host, repositories, self._count(keys, "newestTags", MOST_TAGS, 20)),
            self._period(keys, "interval", timedelta(minutes=15), SHORTEST_INTERVAL)
            or timedelta(minutes=15),
        )

    def _network(self, node: Node) -> OwnNetwork:
        keys = self.mapping(node, "a network", ("cidr", "name"))
        text = self._text(keys, "cidr", "a network such as 10.0.0.0/8", None, node)
        name = self._text(keys, "name", "a name", None, node)
        try:
            return OwnNetwork(ipaddress.ip_network(text), name)
        except ValueError:
            if text:
                self.note(keys["cidr"].value, f"{text[:60]!r} is no network", "write 10.0.0.0/8")
            return OwnNetwork(ipaddress.ip_network("192.0.2.0/32"), name)

    def _keep(self, keys: Mapping[str, Item]) -> Keep:
        if "retention" not in keys:
            return Keep()
        names = ("events", "verdicts", "jobs", "images")
        said = self.mapping(keys["retention"].value, "retention", names)
        default = Keep()
        return Keep(
            **{
                name: self._period(said, name, getattr(default, name), timedelta(days=1))
                for name in names
            }
        )

    def _oidc(self, node: Node) -> Oidc:
        names = ("issuer", "clientId", "clientSecretFile", "redirectUrl", "roleClaim", "roles")
        keys = self.mapping(node, "oidc", names)
        secret = self._text(keys, "clientSecretFile", "the path of a file", "")
        roles = self._roles(keys["roles"].value) if "roles" in keys else {}
        if "roles" not in keys:
            self.note(node, "roles are missing", "write which value of the claim has which role")
        return Oidc(
            issuer=self._url(keys, "issuer", node),
            client_id=self._text(keys, "clientId", "a text", None, node),
            client_secret_file=Path(secret) if secret else None,
            redirect_url=self._url(keys, "redirectUrl", node),
            role_claim=self._text(keys, "roleClaim", "a claim's name", "groups"),
            roles=roles,
        )

    def _roles(self, node: Node) -> dict[str, Role]:
        if not isinstance(node.value, dict) or not node.value:
            self.note(node, "roles is no mapping with entries", "write for example: admins: admin")
            return {}
        found: dict[str, Role] = {}
        for name, item in node.value.items():
            found[name] = self.word({name: item}, name, Role, Role.VIEWER)
            if found[name] is Role.NOTIFIER:
                self.note(
                    item.value,
                    "people are no notifiers: a notifier speaks for one registry",
                    "write viewer, operator or admin; make a token for the registry",
                )
        return found

    # --- scalars ---

    def _all(self, keys: Mapping[str, Item], key: str, most: int, read: Any) -> Sequence[Any]:
        if key not in keys:
            return ()
        node = keys[key].value
        if not isinstance(node.value, list) or len(node.value) > most:
            self.note(node, f"{key} is not a list of at most {most} items", "write one item a line")
            return ()
        return [read(item) for item in node.value]

    def _text(
        self,
        keys: Mapping[str, Item],
        key: str,
        wanted: str,
        default: str | None,
        within: Node | None = None,
    ) -> str:
        if key not in keys:
            if default is None and within is not None:
                self.note(within, f"{key} is missing", f"write {wanted}")
            return default or ""
        node = keys[key].value
        good = isinstance(node.value, str) and 0 < len(node.value) <= 1000
        good = good and node.value.isprintable()
        return str(self.checked(node, good, wanted)) if good else self._bad(node, wanted)

    def _bad(self, node: Node, wanted: str) -> str:
        self.checked(node, False, wanted)
        return ""

    def _url(self, keys: Mapping[str, Item], key: str, within: Node) -> str:
        text = self._text(keys, key, "a URL", None, within)
        if text and not _secure(text):
            self.note(keys[key].value, f"{key} is no https address", "logins need TLS")
        return text

    def _count(self, keys: Mapping[str, Item], key: str, most: int, default: int) -> int:
        if key not in keys:
            return default
        node = keys[key].value
        text = node.value.text if isinstance(node.value, Number) else ""
        if not (text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
            self.checked(node, False, f"a whole number from 1 to {most}")
            return default
        return int(text)

    def _period(
        self, keys: Mapping[str, Item], key: str, default: timedelta | None, shortest: timedelta
    ) -> timedelta | None:
        if key not in keys:
            return default
        node = keys[key].value
        if node.value == "forever":
            return None
        found = _PERIOD.fullmatch(node.value) if isinstance(node.value, str) else None
        period = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
        if period < shortest:
            self.checked(node, False, f"a period such as 15m, 12h or 90d, at least {shortest}")
            return default
        return period


def _check_repository(text: str) -> None:
    """A name, or a glob over names. Raises PolicyError."""
    plain = text.replace("**", "x").replace("*", "x").replace("?", "x")
    try:
        good = parse_reference(f"docker://registry.example/{plain}").repository == plain
    except LayerproofError:
        good = False
    if not good:
        raise PolicyError(f"{text[:100]!r} is no repository", remedy='write "team/app" or "team/*"')
    check_glob(f"/{text}")


def _check_host(text: str) -> None:
    """A host[:port], as references name it. Raises PolicyError."""
    if not is_registry(text):
        raise PolicyError(
            f"{text[:100]!r} is no registry", remedy="write it as references do: host[:port]"
        )


def _secure(url: str) -> bool:
    """Whether what is sent there is encrypted, or stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")
    )
