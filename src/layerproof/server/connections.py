"""uvicorn's connections, with an end to everything that whoever connects may choose the length of.

uvicorn waits for a request for ever, and keeps all of a head, however long it gets: some hundred
connections that say nothing would take every descriptor, one head without end every byte.

1. A head has HEAD_SECONDS, from the connection's begin or from its first byte, and MOST_HEAD bytes.
2. A body has BODY_SECONDS from there; MOST_MESSAGE bytes are read for a request, whatever they are
   called (trailers, extensions of chunks) and whether or not it was answered already.
3. An answer has ANSWER_SECONDS to be made and to be read.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0
BODY_SECONDS = 120.0
ANSWER_SECONDS = 300.0
MOST_HEAD = 64 << 10
MOST_MESSAGE = 20 << 20
_DAY = 86_400.0
_REASONS = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


class Connection(HttpToolsProtocol):
    """One connection. Requests on it follow each other."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    answer_seconds = ANSWER_SECONDS
    most_message = MOST_MESSAGE

    _limit: asyncio.TimerHandle | None = None
    _in_head = True
    _count = 0  # bytes of the head that is read, or of the request
    _began = False  # with these bytes another request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Rule 1 begins."""
        super().connection_made(transport)
        self._allow(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of one request, or of several."""
        if self._in_head and self._limit is None:
            self._allow(self.head_seconds)
        self._began = False
        super().data_received(data)
        if self.transport.is_closing() or self._began:
            return
        self._count += len(data)
        if self._in_head and self._count > MOST_HEAD:
            self._refuse(431)
        elif self._count > self.most_message:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._count, self._began = False, 0, True
        self._allow(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        self._in_head, self._count, self._began = True, 0, True
        self._allow_answer()

    def on_response_complete(self) -> None:
        """An answer was sent; the rest of its request may still come."""
        super().on_response_complete()
        if self._in_head and self.parser is not None:
            self._allow_answer()

    def _allow_answer(self) -> None:
        """Between requests uvicorn's own limit holds, once an answer is out of our hands."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and not self.transport.get_write_buffer_size():
            self._end()
        else:
            self._allow(self.answer_seconds)

    def _allow(self, seconds: float) -> None:
        self._end()
        self._limit = self.loop.call_later(seconds, self._too_late)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _too_late(self) -> None:
        self._limit = None
        unread = bool(self.transport.get_write_buffer_size())
        between = self._in_head and not self._count and self.cycle is not None
        if unread or not between or not self.cycle.response_complete:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Say why, where nobody can take it for the answer to something else; and close."""
        buffered = self.transport.get_write_buffer_size()
        answered = self.cycle is None or self.cycle.response_complete
        if not answered or buffered or not self._in_head or self.transport.is_closing():
            self.transport.abort()
            return
        if self._count:
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
            self.transport.write(f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        self.transport.close()


class Streaming(Connection):
    """One on which layers come and go: of these, nobody knows how long they take."""

    body_seconds = _DAY
    answer_seconds = _DAY
    most_message = 1 << 60
