"""Go's build information."""

import pytest
from tests.unit.analysis.layers import names, reasons, run

PATH = b"usr/bin/app"
MODULES = (
    "path\texample.com/app\nmod\texample.com/app\t(devel)\t\n"
    "dep\tgolang.org/x/net\tv0.7.0\th1:x=\n"
    "dep\texample.com/fork\tv1.0.0\th1:y=\n=>\texample.com/ours\tv1.0.1\th1:z=\n"
    "dep\texample.com/local\tv0.1.0\n=>\t./local\t\n"
    "build\tCGO_ENABLED=0\n"
)


def number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def information(go: str = "go1.21.3", modules: str = MODULES) -> bytes:
    """As Go's linker writes it from 1.18 on."""
    text = b"s" * 16 + modules.encode() + b"e" * 16
    head = (b"\xff Go buildinf:" + b"\x08\x02").ljust(32, b"\0")
    return head + number(len(go)) + go.encode() + number(len(text)) + text + bytes(7)


def test_modules_replacements_and_the_standard_library_are_listed() -> None:
    facts = run("go", {PATH: information()})
    assert names(facts.packages) == [
        ("example.com/app", "(devel)"),
        ("example.com/local", "v0.1.0"),
        ("example.com/ours", "v1.0.1"),
        ("golang.org/x/net", "v0.7.0"),
        ("stdlib", "1.21.3"),
    ]
    (net,) = [p for p in facts.packages if p.name.endswith("net")]
    assert net.purl == "pkg:golang/golang.org/x/net@v0.7.0"


def test_a_toolchain_with_a_note_keeps_its_number() -> None:
    facts = run("go", {PATH: information("go1.22.1 X:boringcrypto")})
    assert ("stdlib", "1.22.1") in names(facts.packages)


def test_a_candidate_of_go_is_written_as_osv_writes_it() -> None:
    assert ("stdlib", "1.21.0-rc2") in names(run("go", {PATH: information("go1.21rc2")}).packages)


@pytest.mark.parametrize("cut", range(0, len(information()) - 8, 7))
def test_cut_information_is_reported(cut: int) -> None:
    facts = run("go", {PATH: information()[:cut]})
    assert facts.packages == ()
    assert reasons(facts)


def test_information_of_old_go_is_reported() -> None:
    old = bytearray(information())
    old[15] = 0
    assert "before 1.18" in reasons(run("go", {PATH: bytes(old)}))


def test_names_that_do_not_print_are_reported() -> None:
    facts = run("go", {PATH: information(modules="dep\tevil\x1b[2J\tv1.0.0\n")})
    assert "do not print" in reasons(facts)
    assert facts.packages == ()


def test_endless_lengths_are_reported() -> None:
    data = (b"\xff Go buildinf:" + b"\x08\x02").ljust(32, b"\0") + b"\xff" * 40
    assert "cut" in reasons(run("go", {PATH: data}))
