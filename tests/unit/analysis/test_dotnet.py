""".NET packages of `*.deps.json`."""

import json

from tests.unit.analysis.layers import names, reasons, run

PATH = b"app/App.deps.json"


def deps(libraries: object) -> bytes:
    return json.dumps({"runtimeTarget": {}, "libraries": libraries}).encode()


def test_packages_and_the_runtime_are_listed_projects_are_not() -> None:
    libraries = {
        "App/1.0.0": {"type": "project"},
        "Newtonsoft.Json/13.0.1": {"type": "package", "sha512": "x"},
        "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1": {"type": "runtimepack"},
    }
    facts = run("dotnet", {PATH: deps(libraries)})
    assert names(facts.packages) == [
        ("Microsoft.NETCore.App.Runtime.linux-x64", "8.0.1"),
        ("Newtonsoft.Json", "13.0.1"),
    ]
    assert facts.packages[0].purl == "pkg:nuget/Newtonsoft.Json@13.0.1"
    assert facts.package_files == (PATH,)


def test_files_that_are_none_are_reported() -> None:
    for data in (b"", b"[]", b'{"libraries": []}', b"\xff", deps({"a": {"type": "package"}})):
        facts = run("dotnet", {PATH: data})
        assert facts.packages == ()
        assert facts.package_files == (PATH,)
        assert reasons(facts)
