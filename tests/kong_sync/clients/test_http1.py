"""The transport beneath the Admin API's client: connections are kept, and every failure is one that httpx knows."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from kong_sync.clients.http1 import Http1

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMES = {"connect": 1.0, "read": 0.3, "write": 1.0, "pool": 1.0}
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Does on each connection what its script says, and remembers the heads of the requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.script: Script = self.answering(OK)
        self.open: list[asyncio.StreamWriter] = []

    def answering(self, *answers: bytes, close: bool = False) -> Script:
        """Answers each request on a connection with the next of `answers`, the last one for ever."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            left = list(answers)
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
                await reader.readexactly(length)
                writer.write(left.pop(0) if len(left) > 1 else left[0])
                await writer.drain()
                if close:
                    return

        return script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        try:
            await self.script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()
    for writer in server.open:
        writer.close()


@pytest.fixture
async def transport() -> AsyncIterator[Http1]:
    made = Http1(connections=2)
    yield made
    await made.aclose()


async def ask(transport: Http1, url: str, *, path: str = "/consumers/1?size=2") -> httpx.Response:
    request = httpx.Request("PUT", url + path, json={"a": 1}, extensions={"timeout": TIMES})
    return await transport.handle_async_request(request)


async def test_a_request_is_sent_whole_on_a_connection_that_is_kept(
    transport: Http1, server: Server, url: str
) -> None:
    for _ in range(3):
        answer = await ask(transport, url)
        assert (answer.status_code, await answer.aread()) == (200, b"ok")
    assert server.connections == 1
    assert server.heads[0].startswith("PUT /consumers/1?size=2 HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_target_of_its_own_stands_for_the_path(transport: Http1, server: Server, url: str) -> None:
    extensions = {"timeout": TIMES, "target": b"/admin/services?size=1"}
    await transport.handle_async_request(httpx.Request("GET", url, extensions=extensions))
    assert server.heads[0].startswith("GET /admin/services?size=1 HTTP/1.1\r\n")


async def test_no_more_connections_than_allowed(transport: Http1, server: Server, url: str) -> None:
    await asyncio.gather(*(ask(transport, url) for _ in range(10)))
    assert (server.connections, len(server.heads)) == (2, 10)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
    ],
)
async def test_an_answer_is_read_to_its_end_and_no_further(
    transport: Http1, server: Server, url: str, answer: bytes
) -> None:
    server.script = server.answering(answer)
    for _ in range(2):
        assert await (await ask(transport, url)).aread() == b"ok"
    assert server.connections == 1


async def test_an_answer_without_a_body_ends_with_its_head(
    transport: Http1, server: Server, url: str
) -> None:
    server.script = server.answering(b"HTTP/1.1 204 No Content\r\n\r\n", OK)
    assert (await ask(transport, url)).status_code == 204
    assert (await ask(transport, url)).status_code == 200
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"HTTP/1.0 200 OK\r\n\r\nok"],
    ids=["said", "by length"],
)
async def test_a_connection_that_the_other_side_closes_is_not_used_again(
    transport: Http1, server: Server, url: str, answer: bytes
) -> None:
    server.script = server.answering(answer, close=True)
    for _ in range(2):
        assert await (await ask(transport, url)).aread() == b"ok"
    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(
    transport: Http1, server: Server, url: str
) -> None:
    server.script = server.answering(OK, close=True)  # without having said so
    await ask(transport, url)
    await asyncio.sleep(0.05)
    assert (await ask(transport, url)).status_code == 200
    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_while_we_were_busy_is_replaced(transport: Http1) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(2**16)
                    connection.sendall(OK)

        server = asyncio.create_task(asyncio.to_thread(serve))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        await ask(transport, url)
        time.sleep(0.1)  # the loop hears of nothing meanwhile
        assert (await ask(transport, url)).status_code == 200
        await server


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200", httpx.RemoteProtocolError),
        (b"", httpx.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", httpx.RemoteProtocolError),
    ],
    ids=["short", "short chunks", "half a head", "nothing", "another protocol"],
)
async def test_what_is_no_whole_answer_is_an_error_and_ends_the_connection(
    transport: Http1, server: Server, url: str, answer: bytes, error: type[Exception]
) -> None:
    server.script = server.answering(answer, close=True)
    with pytest.raises(error):
        await ask(transport, url)
    server.script = server.answering(OK)
    assert (await ask(transport, url)).status_code == 200
    assert server.connections == 2


async def test_an_answer_that_does_not_come_in_time_is_no_answer_to_the_next(
    transport: Http1, server: Server, url: str
) -> None:
    server.script = server.answering(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(httpx.ReadTimeout):
        await ask(transport, url)
    server.script = server.answering(OK)
    assert await (await ask(transport, url)).aread() == b"ok"
    assert server.connections == 2


async def test_a_caller_who_goes_away_leaves_no_half_read_answer(
    transport: Http1, server: Server, url: str
) -> None:
    server.script = server.answering(b"HTTP/1.1 200 OK\r\n")
    asking = asyncio.create_task(ask(transport, url))
    while not server.heads:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    server.script = server.answering(OK)
    assert await (await ask(transport, url)).aread() == b"ok"
    assert server.connections == 2


async def test_nobody_listens(transport: Http1, server: Server, url: str) -> None:
    with pytest.raises(httpx.ConnectError):
        await ask(transport, "http://127.0.0.1:9")
