"""Anybody may ask whether the service is ready; nobody keeps it busy by that."""

import asyncio
import threading

import pytest

from layerproof.errors import IndexUnavailableError
from layerproof.server import readiness
from layerproof.server.readiness import Readiness


def test_every_check_says_ok_or_the_code_of_its_error_and_no_more() -> None:
    def broken() -> None:
        raise IndexUnavailableError("user=root at 10.0.0.1", where="secret", remedy="x")

    found = asyncio.run(Readiness({"a": lambda: None, "b": broken}).now())
    assert found == {"a": "ok", "b": IndexUnavailableError.code}


def test_a_flood_of_questions_asks_the_database_once() -> None:
    asked = 0
    answer = threading.Event()

    def slow() -> None:
        nonlocal asked
        asked += 1
        assert answer.wait(30)

    async def flood() -> None:
        ready = Readiness({"index": slow})
        waiting = [asyncio.ensure_future(ready.now()) for _ in range(500)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()  # whoever began it goes
        answer.set()
        answers = await asyncio.gather(*waiting[1:])
        assert answers == [{"index": "ok"}] * 499
        assert await ready.now() == {"index": "ok"}

    asyncio.run(flood())
    assert asked == 1


def test_an_old_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    time = 100.0
    monkeypatch.setattr(readiness, "monotonic", lambda: time)
    state = ["down"]

    def check() -> None:
        if state == ["down"]:
            raise IndexUnavailableError("x")

    async def twice() -> list[str]:
        nonlocal time
        ready = Readiness({"index": check})
        found = [(await ready.now())["index"]]
        state[0] = "up"
        found.append((await ready.now())["index"])
        time += 1.0
        found.append((await ready.now())["index"])
        return found

    code = IndexUnavailableError.code
    assert asyncio.run(twice()) == [code, code, "ok"]
