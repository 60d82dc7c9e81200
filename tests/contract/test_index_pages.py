"""Pages of images, events and verdicts: every row once, the newest first, whatever is written while
somebody turns the pages."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from tests.contract.index_examples import (
    MONDAY,
    ODD_TEXTS,
    TUESDAY,
    WEDNESDAY,
    chains,
    event,
    image,
    saved,
    trust,
    unknown_chain,
    verdict_record,
)

from layerproof.engine.ports import ImageRecord, Index
from layerproof.model.digest import Digest
from layerproof.model.event import EventKind
from layerproof.model.page import NEWEST, Cursor, Page
from layerproof.model.retention import Retention
from layerproof.model.verdict import Decision

T = TypeVar("T")


def turned(
    ask: Callable[[Cursor | None], Page[T]], between: Callable[[], None] = lambda: None
) -> list[T]:
    """All pages one after the other; `between` is called after each."""
    page = ask(None)
    found = list(page.items)
    while page.after is not None:
        between()
        after = Cursor.parse(str(page.after))  # as a client carries it
        page = ask(after)
        assert page.items, "a page was announced and is empty"
        found += page.items
    return found


def refs(records: list[ImageRecord]) -> list[str]:
    return [record.image.reference for record in records]


# --- images ------------------------------------------------------------------------------------


def test_a_page_of_nothing_is_the_last_one(index: Index) -> None:
    assert index.images_page(5) == Page(())
    assert index.images_page(5, chain_id=unknown_chain()) == Page(())
    assert index.images_page(5, part="a") == Page(())
    assert index.events_page(5) == Page(())
    assert index.verdicts_page(5) == Page(())


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_every_image_stands_on_one_page_the_last_one_indexed_first(
    index: Index, limit: int
) -> None:
    for number, moment in enumerate((MONDAY, TUESDAY, MONDAY, WEDNESDAY, TUESDAY, MONDAY)):
        of = image(f"a{number}", f"docker://h/app:{number}")
        index.put_image(of, chains(of), moment)
    pages = turned(lambda after: index.images_page(limit, after))
    # Of those that were indexed at one moment, the one that was put last stands first.
    assert refs(pages) == [f"docker://h/app:{n}" for n in (3, 4, 1, 5, 2, 0)]
    assert pages == list(index.images())


def test_images_that_are_put_between_two_pages_move_none_of_the_others(index: Index) -> None:
    numbers = iter(range(100))

    def put(moment: datetime) -> None:
        number = next(numbers)
        index.put_image(image(f"b{number}", f"docker://h/new:{number}"), [], moment)

    for number in range(5):
        index.put_image(image(f"a{number}", f"docker://h/old:{number}"), [], MONDAY)
    pages = turned(lambda after: index.images_page(2, after), lambda: put(MONDAY))
    assert refs(pages) == [f"docker://h/old:{n}" for n in (4, 3, 2, 1, 0)]
    pages = turned(lambda after: index.images_page(2, after), lambda: put(TUESDAY))
    assert len({record.image.config_digest for record in pages}) == len(pages) == 7


def test_images_are_found_by_any_part_of_any_name_as_it_is_written(index: Index) -> None:
    of = image("a", "docker://h/Team/app:1.0_x")
    index.put_image(of, [], MONDAY)
    index.put_image(replace(of, reference="docker://h/mirror/app:100%"), [], TUESDAY)
    index.put_image(image("b", "docker://h/other:2.0"), [], WEDNESDAY)

    def found(part: str) -> int:
        return len(turned(lambda after: index.images_page(1, after, part)))

    assert found("h/") == 2
    assert found("Team/app") == found("mirror") == found("1.0_x") == found("100%") == 1
    for part in ("team/app", "1.0_y", "1.0%", "_", "%x", "\\", "APP", "'", "\x00"):
        expected = 1 if part in ("_",) else 0
        assert found(part) == expected, part


@pytest.mark.parametrize("odd", [text for text in ODD_TEXTS if text], ids=ascii)
def test_a_part_of_a_name_may_be_any_text(index: Index, odd: str) -> None:
    index.put_image(image("a", "docker://h/app:1"), [], MONDAY)
    assert index.images_page(5, part=odd).items == ()


def test_images_with_a_layer_come_in_pages(index: Index) -> None:
    for number in range(5):
        index.put_image(image(f"a{number}", f"docker://h/app:{number}"), [], MONDAY)
    index.put_image(image("zz", "docker://h/else:1"), [], TUESDAY)
    shared = image("a0").layers[0].chain_id
    pages = turned(lambda after: index.images_page(2, after, chain_id=shared))
    assert refs(pages) == [f"docker://h/app:{n}" for n in (4, 3, 2, 1, 0)]
    assert pages == index.images_with_chain(shared)
    own = image("a3").layers[1].chain_id
    assert refs(list(index.images_page(2, chain_id=own).items)) == ["docker://h/app:3"]


def test_an_image_with_one_layer_twice_stands_on_a_page_once(index: Index) -> None:
    index.put_image(image("aa"), [], MONDAY)
    index.put_image(saved("aa"), [], TUESDAY)
    assert len(turned(lambda after: index.images_page(1, after))) == 1
    assert len(turned(lambda after: index.images_page(1, after, "a"))) == 1
    chain = image("aa").layers[0].chain_id
    assert len(turned(lambda after: index.images_page(1, after, chain_id=chain))) == 1


def test_images_of_an_index_come_with_the_view_that_was_seen_last(index: Index) -> None:
    digest = Digest.of(b"the index")
    amd, arm = (image(names, index_digest=digest) for names in ("ab", "ac"))
    index.put_image(amd, [], MONDAY)
    index.put_image(arm, [], TUESDAY)
    newer = replace(amd, notes=("seen again",), reference="docker://h/app:2")
    index.put_image(newer, [], WEDNESDAY)
    index.put_image(image("ad"), [], WEDNESDAY)
    found = index.images_of_index(digest)
    assert [record.image for record in found] == [newer, arm]
    assert found[0].names == ("docker://h/app:2", amd.reference)
    assert index.images_of_index(Digest.of(b"unknown")) == []


def test_images_may_be_pruned_while_they_are_listed(index: Index) -> None:
    for number in range(150):
        index.put_image(image(f"a{number}", f"docker://h/app:{number}"), [], MONDAY)
    kept = image("a0")
    index.put_trust(trust(kept))
    listed = index.images()
    assert next(listed).image.reference == "docker://h/app:149"
    assert index.prune(Retention(images=TUESDAY)).images == 149
    assert refs(list(listed))[-1:] == ["docker://h/app:0"]


# --- when a name was seen ----------------------------------------------------------------------


def test_a_report_that_comes_late_does_not_make_an_older_image_the_newest_of_its_tag(
    index: Index,
) -> None:
    old, new = image("a"), image("b")
    index.put_image(new, [], WEDNESDAY, TUESDAY)
    index.put_image(old, [], WEDNESDAY, MONDAY)
    assert [r.image for r in index.images_by_name(new.reference)] == [new, old]
    # Again, and still later: a moment before the one that is known changes nothing of the name.
    index.put_image(new, [], WEDNESDAY, MONDAY - timedelta(days=1))
    assert [r.image for r in index.images_by_name(new.reference)] == [new, old]
    index.put_image(old, [], WEDNESDAY, TUESDAY + timedelta(seconds=1))
    assert [r.image for r in index.images_by_name(new.reference)] == [old, new]


# --- events ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 50])
def test_every_event_stands_on_one_page_whatever_the_order_of_reports(
    index: Index, limit: int
) -> None:
    moments = (TUESDAY, MONDAY, WEDNESDAY, MONDAY, TUESDAY, MONDAY)
    for number, at in enumerate(moments):
        index.put_events([event(f"e-{number}", at=at)])
    found = turned(lambda after: index.events_page(limit, after))
    assert [item.identity for item in found] == [f"e-{n}" for n in (2, 4, 0, 5, 3, 1)]
    assert found == list(index.events())


def test_events_that_arrive_between_two_pages_move_none_of_the_others(index: Index) -> None:
    index.put_events([event(f"old-{n}", at=TUESDAY) for n in range(7)])
    numbers = iter(range(100))

    def arrive() -> None:
        n = next(numbers)
        index.put_events([event(f"same-{n}", at=TUESDAY), event(f"new-{n}", at=WEDNESDAY)])

    found = turned(lambda after: index.events_page(2, after), arrive)
    assert [item.identity for item in found] == [f"old-{n}" for n in range(6, -1, -1)]


def test_pages_reach_back_before_1970(index: Index) -> None:
    """A registry without a clock reports year one."""
    moments = [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), MONDAY]
    index.put_events([event(f"e-{n}", at=at) for n, at in enumerate(moments)])
    found = turned(lambda after: index.events_page(1, after))
    assert [item.at for item in found] == moments[::-1]


def test_events_are_chosen_by_kind_registry_repository_and_account(index: Index) -> None:
    index.put_events(
        [
            event("a"),
            event("b", kind=EventKind.PULL),
            event("c", registry="other.example"),
            event("d", repository="team/else"),
            event("e", account="bob"),
            event("f", account="\udcff'; DROP TABLE event"),
        ]
    )

    def found(**wanted: str) -> str:
        pages = turned(lambda after: index.events_page(2, after, **wanted))
        return "".join(sorted(item.identity for item in pages))

    assert found() == "abcdef"
    assert found(kind="pull") == "b"
    assert found(registry="other.example") == "c"
    assert found(repository="team/else") == "d"
    assert found(account="bob") == "e"
    assert found(account="\udcff'; DROP TABLE event") == "f"
    assert found(kind="push", registry="registry.example:5000", account="alice") == "ad"
    assert found(kind="nothing") == found(account="BOB") == ""


# --- verdicts ----------------------------------------------------------------------------------


def test_every_verdict_stands_on_one_page_and_can_be_chosen(index: Index) -> None:
    moments = (TUESDAY, MONDAY, WEDNESDAY, MONDAY, TUESDAY)
    for number, at in enumerate(moments):
        made = verdict_record(f"{number:02x}", decided_at=at)
        decision = Decision.REFUSE if number % 2 else Decision.ADMIT
        reference = "docker://h/x:1" if number == 4 else "docker://h/y:1"
        verdict = replace(made.verdict, decision=decision, reference=reference)
        index.put_verdict(replace(made, verdict=verdict))

    def ids(**wanted: str) -> list[str]:
        pages = turned(lambda after: index.verdicts_page(2, after, **wanted))
        return [record.id for record in pages]

    assert ids() == ["02", "04", "00", "03", "01"]
    assert ids() == [record.id for record in index.verdicts()]
    assert ids(decision="refuse") == ["03", "01"]
    assert ids(reference="docker://h/y:1") == ["02", "00", "03", "01"]
    assert ids(reference="docker://h/y:1", decision="admit") == ["02", "00"]
    assert ids(reference="docker://h/x:1", decision="refuse") == []


def test_a_page_of_no_rows_is_empty_and_the_last(index: Index) -> None:
    index.put_events([event("a")])
    assert index.events_page(0) == Page(())


def test_cursors_come_back_from_text_and_nothing_else_does() -> None:
    for cursor in (NEWEST, Cursor(0, 0), Cursor(-62135596800000000, 7), Cursor(1, (1 << 63) - 1)):
        assert Cursor.parse(str(cursor)) == cursor
    for text in ("", ".", "1.", ".1", "1", "--1.1", "1.-1", "+1.1", "1_0.1", "g.1", "1.1.1",
                 " 1.1", "-.1", "٣.1", "8000000000000000.1", "1." + "0" * 17):  # fmt: skip
        with pytest.raises(ValueError, match="cursor"):
            Cursor.parse(text)
