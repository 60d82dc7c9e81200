"""Secrets in files, by kind and place."""

import time

from tests.unit.analysis.layers import reasons, run

TOKEN = b"gh" + b"p_" + b"a1B2c3D4e5" * 4
LOGIN = b"machine x login y password z\n"


def found(files: dict[bytes, bytes]) -> list[tuple[object, ...]]:
    data = run("secrets", files).data
    listed = data.get("found", [])
    assert isinstance(listed, list)
    return [(item["kind"], item["path"], item["line"]) for item in listed]


def test_lines_are_counted() -> None:
    assert found({b"srv/.env": b"a\n\n" + TOKEN + b"\nb\n" + TOKEN}) == [
        ("github-token", "srv/.env", 3),
        ("github-token", "srv/.env", 5),
    ]


def test_a_file_that_is_replaced_later_in_the_layer_tells_nothing() -> None:
    from layerproof.analysis.secrets import SecretsAnalyser
    from layerproof.model.entry import EntryTable

    collector = SecretsAnalyser().start()
    collector.file(b"srv/.env", 0, TOKEN)
    collector.file(b"srv/.env", 1, b"nothing")
    assert collector.finish(EntryTable()).data == {}


def test_a_login_file_that_is_too_large_is_reported() -> None:
    facts = run("secrets", {b"root/.netrc": LOGIN * 100_000})
    assert "not searched" in reasons(facts)


def test_no_text_makes_the_search_slow() -> None:
    texts = [b"a" * 1_000_000, b"sk-" * 300_000, b"xoxb-1-" * 140_000, b"-----BEGIN " * 90_000]
    texts += [b"AccountKey=" + b"A" * 900_000, b"eyJ." * 200_000, b"gh" + b"p_" * 400_000]
    start = time.perf_counter()
    for number, text in enumerate(texts):
        run("secrets", {b"srv/%d.env" % number: text})
    assert time.perf_counter() - start < 5
