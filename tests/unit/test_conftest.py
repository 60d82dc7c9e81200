"""The guard itself: a unit test that reaches for the network fails."""

import asyncio
import socket
import urllib.request

import pytest


@pytest.mark.parametrize("call", ["connect", "connect_ex", "bind"])
def test_socket_use_in_a_unit_test_is_refused(call: str) -> None:
    with (
        socket.socket() as sock,
        pytest.raises(Exception, match="unit and property tests use no sockets"),
    ):
        getattr(sock, call)(("127.0.0.1", 1))


def test_name_look_up_in_a_unit_test_is_refused() -> None:
    with pytest.raises(Exception, match="unit and property tests use no sockets"):
        urllib.request.urlopen("http://localhost:1/")


def test_event_loops_still_work() -> None:
    async def answer() -> int:
        return 42

    assert asyncio.run(answer()) == 42
