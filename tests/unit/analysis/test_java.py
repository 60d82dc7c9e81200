"""Java archives."""

import io
import zipfile

import pytest
from tests.unit.analysis.layers import names, reasons, run

POM = "META-INF/maven/org.apache.logging.log4j/log4j-core/pom.properties"
LOG4J = b"#Generated\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\nversion=2.14.1\n"


def jar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_properties_of_maven_name_group_and_artifact() -> None:
    (package,) = run("java", {b"app/log4j-core-2.14.1.jar": jar({POM: LOG4J})}).packages
    assert package.name == "org.apache.logging.log4j:log4j-core"
    assert package.purl == "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"


def test_every_project_of_a_shaded_archive_is_listed() -> None:
    other = POM.replace("log4j-core", "log4j-api")
    data = jar({POM: LOG4J, other: LOG4J.replace(b"log4j-core", b"log4j-api")})
    assert len(run("java", {b"app/all.jar": data}).packages) == 2


def test_archives_inside_of_archives_are_read() -> None:
    inner = jar({POM: LOG4J})
    war = jar({"WEB-INF/lib/log4j-core-2.14.1.jar": inner, "index.html": b""})
    facts = run("java", {b"app/shop-3.0.war": jar({"shop.war": war})})
    assert ("org.apache.logging.log4j:log4j-core", "2.14.1") in names(facts.packages)


def test_two_versions_in_one_archive_are_both_there() -> None:
    newer = jar({POM: LOG4J.replace(b"2.14.1", b"2.17.0")})
    data = jar({"a.jar": jar({POM: LOG4J}), "b.jar": newer})
    versions = {package.version for package in run("java", {b"app.ear": data}).packages}
    assert {"2.14.1", "2.17.0"} <= versions


@pytest.mark.parametrize(
    ("name", "manifest", "expected"),
    [
        ("guava-31.1-jre.jar", b"Manifest-Version: 1.0\r\n", ("guava", "31.1-jre")),
        (
            "commons-lang3.jar",
            b"Bundle-SymbolicName: org.apache.commons.lang3;singleton:=true\n"
            b"Implementation-Title: Apache Commons Lang\nImplementation-Version: 3.12.0\n",
            ("org.apache.commons.lang3:commons-lang3", "3.12.0"),
        ),
        (
            "x.jar",
            b"Implementation-Vendor-Id: com.example\nImplementation-Title: tool\n"
            b"Implementation-Version: 1.\n 2\n\nName: a/b\nImplementation-Version: 9\n",
            ("com.example:tool", "1.2"),
        ),
    ],
)
def test_without_maven_manifest_and_name_tell(
    name: str, manifest: bytes, expected: tuple[str, str]
) -> None:
    facts = run("java", {name.encode(): jar({"META-INF/MANIFEST.MF": manifest})})
    assert names(facts.packages) == [expected]


def test_an_archive_that_names_nothing_is_no_package() -> None:
    facts = run("java", {b"app.jar": jar({"A.class": b"\xca\xfe\xba\xbe"})})
    assert (facts.packages, facts.package_files) == ((), (b"app.jar",))


def test_cut_and_made_up_archives_are_reported() -> None:
    whole = jar({POM: LOG4J})
    for data in (b"", b"PK", whole[:-10], whole[:40] + bytes(40) + whole[80:], b"\0" * 1000):
        assert reasons(run("java", {b"a.jar": data}))


def test_archives_nested_too_deep_are_reported_and_the_outer_kept() -> None:
    data = jar({POM: LOG4J})
    for _ in range(6):
        data = jar({POM: LOG4J, "in.jar": data})
    facts = run("java", {b"a.jar": data})
    assert "nested deeper" in reasons(facts)
    assert len(facts.packages) >= 1


def test_very_many_members_and_long_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    run("java", {b"a-" + b"1-" * 8_000 + b".jar": jar({"META-INF/MANIFEST.MF": b""})})
    monkeypatch.setattr("layerproof.analysis.java.MAX_MEMBERS", 10)
    data = jar({"in.jar": jar({f"{n}": b"" for n in range(6)}), **{f"{n}": b"" for n in range(6)}})
    assert "more than 10 members" in reasons(run("java", {b"a.jar": data}))
    monkeypatch.setattr("layerproof.analysis.java.MAX_BYTES", 100)
    poms = {f"META-INF/maven/g/a{n}/pom.properties": LOG4J for n in range(3)}
    assert "manifests of more than" in reasons(run("java", {b"a.jar": jar(poms)}))


def test_a_bomb_inside_of_an_archive_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerproof.analysis.java.MAX_BYTES", 1 << 20)
    facts = run("java", {b"a.jar": jar({"in.jar": bytes(2 << 20)})})
    assert "nested archives of more than" in reasons(facts)
