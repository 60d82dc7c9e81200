"""Lock files of npm, Yarn and pnpm."""

import json

from tests.unit.analysis.layers import names, reasons, run

NPM_1 = {
    "lockfileVersion": 1,
    "dependencies": {
        "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
        "b": {"version": "1.0.0"},
        "local": {"version": "file:../local"},
    },
}
NPM_3 = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "app", "version": "9.9.9"},
        "node_modules/a": {"version": "1.0.0"},
        "node_modules/a/node_modules/@s/b": {"version": "2.0.0"},
        "node_modules/alias": {"name": "real", "version": "3.0.0"},
        "lib": {"version": "0.0.0", "link": True},
    },
}
YARN_1 = b"""# yarn lockfile v1

"@babel/core@^7.0.0", "@babel/core@^7.1.0":
  version "7.20.1"
  resolved "https://registry.example/x"

lodash@^4.17.0:
  version "4.17.20"
  dependencies:
    version "^1.0.0"
"""
YARN_2 = b"""__metadata:
  version: 6

"lodash@npm:^4.17.0":
  version: 4.17.21
  resolution: "lodash@npm:4.17.21"
"""
PNPM = b"""lockfileVersion: '6.0'
packages:

  /lodash@4.17.21:
    resolution: {integrity: sha512-x}

  /@babel/core@7.20.1(supports-color@5.5.0):
    resolution: {integrity: sha512-y}

  /old/1.2.3:
    dev: true
"""


def test_npm_of_every_version() -> None:
    first = run("node-locks", {b"app/package-lock.json": json.dumps(NPM_1).encode()})
    assert names(first.packages) == [("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0")]
    third = run("node-locks", {b"app/package-lock.json": json.dumps(NPM_3).encode()})
    assert names(third.packages) == [("@s/b", "2.0.0"), ("a", "1.0.0"), ("real", "3.0.0")]
    assert all(package.locked for package in third.packages)


def test_yarn_and_pnpm() -> None:
    assert names(run("node-locks", {b"yarn.lock": YARN_1}).packages) == [
        ("@babel/core", "7.20.1"),
        ("lodash", "4.17.20"),
    ]
    assert names(run("node-locks", {b"yarn.lock": YARN_2}).packages) == [("lodash", "4.17.21")]
    assert names(run("node-locks", {b"pnpm-lock.yaml": PNPM}).packages) == [
        ("@babel/core", "7.20.1"),
        ("lodash", "4.17.21"),
        ("old", "1.2.3"),
    ]


def test_lock_files_of_installed_packages_lock_nothing() -> None:
    path = b"app/node_modules/a/package-lock.json"
    assert run("node-locks", {path: json.dumps(NPM_1).encode()}).package_files == ()


def test_hostile_lines_end_in_time() -> None:
    """Each took the square of its length with a careless pattern."""
    spaces, digits = b" " * 400_000, b"1" * 400_000
    for path, data in (
        (b"yarn.lock", b"a@b:\n" + (spaces + b"\n") * 20),
        (b"yarn.lock", b"a@" * 400_000),
        (b"pnpm-lock.yaml", b"packages:\n  a@" + digits + b"\n"),
        (b"pnpm-lock.yaml", b"packages:\n  a@1" + b":" * 400_000 + spaces + b"x\n"),
    ):
        run("node-locks", {path: data})


def test_hostile_lock_files_are_reported() -> None:
    deep: dict[str, object] = {"version": "1.0.0"}
    for _ in range(200):
        deep = {"version": "1.0.0", "dependencies": {"a": deep}}
    bad = json.dumps({"dependencies": {"a": deep}}).encode()
    assert "in each other" in reasons(run("node-locks", {b"package-lock.json": bad}))
    assert reasons(run("node-locks", {b"package-lock.json": b"[" * 100_000}))
