"""VEX: what somebody says about vulnerabilities in products, and where it holds.

Read are OpenVEX 0.2.0 and CSAF 2.0 (profile 5, VEX). A statement holds for a package of an image if

1. one of its names is one of the vulnerability's, and
2. a product is the package (a purl; one without version or qualifiers means all of them) or the
   image (`pkg:oci/…@sha256:…`, a digest, or a name of the image), and, of an image, the part named
   inside is the package, if parts are named.

Of several, the newest counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from layerproof.advisories.formats import (
    MAX_ID,
    Problem,
    UnusableError,
    line,
    string,
    strings,
    time,
)
from layerproof.model.image import Image
from layerproof.model.vulnerability import VexStatement, VexStatus, Vulnerability

_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {status.value: status for status in VexStatus}
_CSAF = {
    "known_not_affected": VexStatus.NOT_AFFECTED,
    "known_affected": VexStatus.AFFECTED,
    "fixed": VexStatus.FIXED,
    "first_fixed": VexStatus.FIXED,
    "under_investigation": VexStatus.UNDER_INVESTIGATION,
}
_MAX_DEPTH = 64  # of CSAF's branches


def is_openvex(document: Any) -> bool:
    """Whether it is an OpenVEX document."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("statements"), list)
        and "openvex" in str(document.get("@context"))
    )


def is_csaf(document: Any) -> bool:
    """Whether it is a CSAF document."""
    head = document.get("document") if isinstance(document, dict) else None
    return isinstance(head, dict) and str(head.get("category", "")).startswith("csaf")


def read_openvex(document: dict[str, Any]) -> Iterator[VexStatement | Problem]:
    """One statement each."""
    name = str(document.get("@id", ""))[:MAX_ID]
    for number, item in enumerate(document["statements"], 1):
        try:
            yield _openvex(item, document)
        except (UnusableError, AttributeError, TypeError, KeyError) as error:
            yield Problem(f"{name}: statement {number}", f"not as OpenVEX has it: {error}")


def _openvex(item: dict[str, Any], document: dict[str, Any]) -> VexStatement:
    vulnerability = item["vulnerability"]
    if isinstance(vulnerability, str):  # before 0.2.0
        vulnerability = {"name": vulnerability}
    names = [vulnerability.get("name") or vulnerability.get("@id")]
    status = _STATUS.get(str(item.get("status")))
    if status is None:
        raise UnusableError(f"status {str(item.get('status'))[:40]!r}")
    justification, impact = item.get("justification"), item.get("impact_statement")
    if status is VexStatus.NOT_AFFECTED and not justification and not impact:
        raise UnusableError("not_affected needs a justification or an impact statement")
    products: list[str] = []
    parts: list[str] = []
    for named in item.get("products") or ():
        product = {"@id": named} if isinstance(named, str) else named
        products += _identifiers(product)
        for part in product.get("subcomponents") or ():
            parts += _identifiers({"@id": part} if isinstance(part, str) else part)
    if not products:
        raise UnusableError("no product")
    return VexStatement(
        vulnerabilities=(string(names[0], "vulnerability"), *strings(vulnerability.get("aliases"))),
        products=tuple(products),
        status=status,
        parts=tuple(parts),
        justification=line(justification, 100),
        statement=line(impact or item.get("action_statement") or item.get("status_notes"), 500),
        author=line(item.get("supplier") or document.get("author"), 200),
        document=line(document.get("@id"), 300),
        at=time(item.get("timestamp") or document.get("timestamp")),
    )


def _identifiers(component: dict[str, Any]) -> list[str]:
    named = component.get("identifiers")
    purl = named.get("purl") if isinstance(named, dict) else None
    return [text for text in strings([component.get("@id"), purl]) if text]


def read_csaf(document: dict[str, Any]) -> Iterator[VexStatement | Problem]:
    """One statement per vulnerability, status and justification."""
    head = document["document"]
    tracking = head.get("tracking") if isinstance(head.get("tracking"), dict) else {}
    publisher = head.get("publisher") if isinstance(head.get("publisher"), dict) else {}
    try:
        products = dict(_products(document.get("product_tree") or {}))
    except (UnusableError, AttributeError, TypeError, KeyError) as error:
        yield Problem(
            str(tracking.get("id"))[:80], f"its product tree is not as CSAF has it: {error}"
        )
        return
    for item in document.get("vulnerabilities") or ():
        try:
            yield from _csaf(item, products, head, tracking, publisher)
        except (UnusableError, AttributeError, TypeError, KeyError) as error:
            yield Problem(str(tracking.get("id"))[:80], f"not as CSAF has it: {error}")


def _products(tree: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Product id → its purls."""
    stack = [(branch, 0) for branch in tree.get("branches") or ()]
    found = list(tree.get("full_product_names") or ())
    while stack:
        branch, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise UnusableError(f"more than {_MAX_DEPTH} branches in each other")
        if isinstance(branch.get("product"), dict):
            found.append(branch["product"])
        stack += [(inner, depth + 1) for inner in branch.get("branches") or ()]
    purls = {}
    for product in found:
        helper = product.get("product_identification_helper") or {}
        purls[str(product.get("product_id"))] = strings([helper.get("purl")])
    for relation in (
        tree.get("relationships") or ()
    ):  # "component of a product": the component counts
        own = relation.get("full_product_name") or {}
        helper = own.get("product_identification_helper") or {}
        purls[str(own.get("product_id"))] = strings([helper.get("purl")]) or purls.get(
            str(relation.get("product_reference")), ()
        )
    yield from purls.items()


def _csaf(
    item: dict[str, Any],
    products: Mapping[str, tuple[str, ...]],
    head: dict[str, Any],
    tracking: dict[str, Any],
    publisher: dict[str, Any],
) -> Iterator[VexStatement]:
    names = strings([item.get("cve"), *(i.get("text") for i in item.get("ids") or ())])
    if not names:
        raise UnusableError("a vulnerability without a name")
    for word, members in (item.get("product_status") or {}).items():
        status = _CSAF.get(word)
        if status is None:
            continue
        for member in members:
            purls = products.get(str(member), ())
            if not purls:
                continue  # nothing that could be found in an image
            flags = [f for f in item.get("flags") or () if member in (f.get("product_ids") or ())]
            threats = [
                t
                for t in item.get("threats") or ()
                if t.get("category") == "impact" and member in (t.get("product_ids") or (member,))
            ]
            yield VexStatement(
                vulnerabilities=names,
                products=purls,
                status=status,
                justification=line(flags[0].get("label"), 100) if flags else "",
                statement=line(threats[0].get("details"), 500) if threats else "",
                author=line(publisher.get("name"), 200),
                document=line(tracking.get("id"), 300),
                at=time(tracking.get("current_release_date")),
            )


def about(
    vulnerability: Vulnerability, image: Image, statements: Iterable[VexStatement]
) -> VexStatement | None:
    """The newest statement that holds for the vulnerability in the image."""
    names = set(vulnerability.every_name)
    package = vulnerability.package.purl
    held = [
        statement
        for statement in statements
        if not names.isdisjoint(statement.vulnerabilities) and _holds(statement, package, image)
    ]
    return max(held, key=lambda s: (s.at or _OLDEST, s.document), default=None)


def _holds(statement: VexStatement, package: str, image: Image) -> bool:
    if any(_same(product, package) for product in statement.products):
        return True
    if not any(_is_image(product, image) for product in statement.products):
        return False
    return not statement.parts or any(_same(part, package) for part in statement.parts)


def _same(pattern: str, purl: str) -> bool:
    """Whether a purl means a package's: version and qualifiers count where the pattern has them."""
    if not pattern.startswith("pkg:"):
        return False
    wanted, found = _purl(pattern), _purl(purl)
    return (
        wanted[0] == found[0]
        and wanted[1] in ("", found[1])
        and all(found[2].get(name) == value for name, value in wanted[2].items() if name in _COUNT)
    )


_COUNT = ("arch", "epoch")  # other qualifiers (distro, upstream) are written in many ways


def _purl(text: str) -> tuple[str, str, dict[str, str]]:
    head, _, query = text.partition("#")[0].partition("?")
    name, at, version = head.rpartition("@")
    if not at or "/" in version:
        name, version = head, ""
    return unquote(name).lower(), unquote(version), dict(parse_qsl(query))


def _is_image(product: str, image: Image) -> bool:
    digests = [d for d in (image.manifest_digest, image.index_digest, image.config_digest) if d]
    if product.startswith("pkg:oci/"):
        _, version, _ = _purl(product)
        return version in digests
    name = product.partition("@")
    if name[2]:
        return name[2] in digests
    return product in (image.reference, image.reference.partition("://")[2])
