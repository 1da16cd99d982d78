"""A service with manners and bad manners, over real sockets: what it does is in the path, or in how it is feeling."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

LARGE = 5_000_000


class Asked:
    """One request as the service got it."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.path = urlsplit(self.target).path
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}
        self.headers = [
            (n.strip().lower(), v.strip(" \t")) for n, _, v in (line.partition(":") for line in lines if line)
        ]
        self.body = b""

    def header(self, name: str) -> str | None:
        """The value of a header, all of them joined where it is repeated, None without one."""
        values = [value for header, value in self.headers if header == name]
        return ", ".join(values) if values else None


class Service:
    """Answers `{"service": NAME, "path": ..., "got": BYTES}`.

    `/status/N` with that status, `/large` with 5 MB, `/gzip` compressed, `/stream` in chunks with a pause between them,
    `/torn` half of a stream, `/reset` not at all, `/hang` never. `feeling` makes every answer: `hang` never, without
    reading; `reset` a closed connection; `ill` a 500. Unless `may_end` streams stay open.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.feeling = "well"
        self.may_end = True
        self.port = 0
        self.asked: list[Asked] = []
        self.open = 0

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                asked = Asked(await reader.readuntil(b"\r\n\r\n"))
                self.asked.append(asked)
                if self.feeling == "hang":
                    await asyncio.sleep(60)
                if not await self._answer(asked, reader, writer):
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer; whether the connection stays open."""
        if asked.header("upgrade"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
            while data := await reader.read(1000):
                writer.write(data[::-1])
            return False
        asked.body = await _read_body(asked, reader)
        if self.feeling == "reset" or asked.path == "/reset":
            return False
        if asked.path == "/hang":
            await asyncio.sleep(60)
        if asked.path in {"/stream", "/torn"}:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
            for number in range(int(asked.query.get("lines", "3"))):
                writer.write(b"7\r\nline %d\n\r\n" % number)
                await writer.drain()
                await asyncio.sleep(float(asked.query.get("pause", "0.05")))
            while not self.may_end:  # noqa: ASYNC110 - the test's thread says so
                await asyncio.sleep(0.01)
            if asked.path == "/torn":
                return False
            writer.write(b"0\r\n\r\n")
            return True
        self._write(asked, writer)
        await writer.drain()
        return True

    def _write(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        status = int(asked.path.rpartition("/")[2]) if asked.path.startswith("/status/") else 200
        status = 500 if self.feeling == "ill" else status
        body = json.dumps({"service": self.name, "path": asked.target, "got": len(asked.body)}).encode()
        encoding = b""
        if asked.path == "/large":
            body = b"0123456789" * (LARGE // 10)
        elif asked.path == "/gzip":
            body, encoding = gzip.compress(body, mtime=0), b"content-encoding: gzip\r\n"
        elif asked.path == "/binary":
            body = bytes(range(256))
        head = b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\nx-served-by: %s\r\n" % (
            status,
            self.name.encode(),
        )
        if status == 204:
            writer.write(head + b"\r\n")
            return
        writer.write(head + encoding + b"content-length: %d\r\n\r\n" % len(body))
        if asked.method != "HEAD":
            writer.write(body)


async def _read_body(asked: Asked, reader: asyncio.StreamReader) -> bytes:
    length = asked.header("content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    body = b""
    if asked.header("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return body


@contextmanager
def serving(name: str) -> Iterator[Service]:
    """Run a service in a thread of its own."""
    service, started = Service(name), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        await service.serve(started, stop)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
