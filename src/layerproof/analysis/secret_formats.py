"""Forms of secrets that can be told by their look: prefixes and lengths that their issuers chose.

Each has a stable word, which appears in findings. Sources: the issuers' documentation of token
formats; RFC 7468 and OpenSSH's PROTOCOL.key for private keys. Words such as `password=` are not
among them: what follows is a placeholder more often than not.

A secret never leaves this module: what is found is told by kind and place.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice

MAX_FOUND = 100  # in one text

# Every text that can match a form holds one of its literals, which are found very fast.
_LITERALS = {
    "age-key": (b"AGE-SECRET-KEY-1",),
    "anthropic-key": (b"sk-ant-",),
    "aws-access-key": (b"AKIA", b"ASIA"),
    "azure-storage-key": (b"AccountKey=",),
    "digitalocean-token": (b"_v1_",),
    "docker-hub-token": (b"dckr_",),
    "github-token": (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    "gitlab-token": (b"glpat-", b"gldt-", b"glrt-", b"glptt-", b"glcbt-"),
    "google-api-key": (b"AIza",),
    "hashicorp-token": (b"hvs.", b"hvb."),
    "hugging-face-token": (b"hf_",),
    "npm-token": (b"npm_",),
    "openai-key": (b"T3BlbkFJ",),
    "private-key": (b"PRIVATE KEY",),
    "pypi-token": (b"pypi-AgEIcHlwaS5vcmc",),
    "sendgrid-key": (b"SG.",),
    "slack-token": (b"xox",),
    "stripe-key": (b"k_live_",),
}
_FORMS = {
    "age-key": rb"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    "anthropic-key": rb"sk-ant-(?:api|admin)\d\d-[\w-]{80,120}",
    "aws-access-key": rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])",
    "azure-storage-key": rb"AccountKey=[A-Za-z0-9+/]{86}==",
    "digitalocean-token": rb"do[opr]_v1_[a-f0-9]{64}",
    "docker-hub-token": rb"dckr_(?:pat|oat)_[\w-]{27,}",
    "github-token": rb"(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{82})",
    "gitlab-token": rb"gl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,64}",
    "google-api-key": rb"(?<![\w-])AIza[\w-]{35}(?![\w-])",
    "hashicorp-token": rb"(?<![\w.])hv[sb]\.[\w-]{90,300}",
    "hugging-face-token": rb"(?<!\w)hf_[A-Za-z]{34}(?!\w)",
    "npm-token": rb"(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)",
    "openai-key": rb"(?<![\w-])sk-(?:proj-|svcacct-)?[\w-]{20,80}T3BlbkFJ[\w-]{20,80}",
    # with the first characters of the key, perhaps after header fields: programs that know such
    # keys hold the first line alone
    "private-key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:\\[nr]|\s|[A-Za-z-]+: [^\n]{0,200}\n){0,20}[A-Za-z0-9+/=]{16}",
    "pypi-token": rb"pypi-AgEIcHlwaS5vcmc[\w-]{50,300}",
    "sendgrid-key": rb"(?<![\w.])SG\.[\w-]{22}\.[\w-]{43}",
    "slack-token": rb"xox[abeoprs]-(?:\d+-){1,4}[A-Za-z0-9-]{10,80}",
    "stripe-key": rb"(?<!\w)[rs]k_live_[A-Za-z0-9]{24,247}",
}
KINDS = tuple(_FORMS)
# What may only be told by the file that it stands in
FILE_KINDS = ("aws-credentials", "docker-login", "git-credentials", "netrc", "npm-login", "pgpass")

_ENCRYPTED = (b"ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


def find_secrets(data: bytes) -> Iterator[tuple[str, int]]:
    """Kind and line (from 1) of each, in order; at most `MAX_FOUND`. Keys under a passphrase are
    left out."""
    places = sorted(
        (match.start(), kind)
        for kind, literals in _LITERALS.items()
        if any(literal in data for literal in literals)
        for match in islice(_pattern(kind).finditer(data), MAX_FOUND)
        if not (kind == "private-key" and _under_passphrase(data, match.start()))
    )
    line, seen = 1, 0
    for start, kind in places[:MAX_FOUND]:
        line += data.count(b"\n", seen, start)
        seen = start
        yield kind, line


def mask_secrets(text: str) -> str:
    """The same with `***` for everything of these forms: commands of a history are shown to people,
    and a token in one is then in their logs, too."""
    data = text.encode("utf-8", "surrogatepass")
    for kind, literals in _LITERALS.items():
        if any(literal in data for literal in literals):
            data = _pattern(kind).sub(b"***", data)
    return data.decode("utf-8", "surrogatepass")


@cache
def _pattern(kind: str) -> re.Pattern[bytes]:
    return re.compile(_FORMS[kind])  # when first wanted: most texts hold no literal of any


def _under_passphrase(data: bytes, start: int) -> bool:
    head = data[start : start + 200]
    return any(mark in head for mark in _ENCRYPTED)
