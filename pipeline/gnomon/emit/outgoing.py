"""HTTP clients that take the tags of the current request along: httpx, requests, aiohttp.

Each function changes the client that it is given and returns it. A header that the caller has set wins, but for
`baggage`, to which members are added. None of the libraries is imported unless a client of it is there already.
"""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from typing import Any, TypeVar

from gnomon.emit.context import outgoing_headers

__all__ = ["tag_aiohttp", "tag_httpx", "tag_requests"]

Client = TypeVar("Client")


def tag_httpx(client: Client) -> Client:
    """Have an `httpx.Client` or `httpx.AsyncClient` send the current tags with every request, by an event hook."""
    hooks = client.event_hooks  # type: ignore[attr-defined]
    hook = _hook_later if inspect.iscoroutinefunction(client.send) else _hook  # type: ignore[attr-defined]
    client.event_hooks = {**hooks, "request": [*hooks.get("request", ()), hook]}  # type: ignore[attr-defined]
    return client


def tag_requests(session: Client) -> Client:
    """Have a `requests.Session` send the current tags with every request: its adapters are wrapped.

    An adapter that is mounted afterwards is not.
    """
    for prefix, adapter in list(session.adapters.items()):  # type: ignore[attr-defined]
        session.mount(prefix, _Adapter(adapter))  # type: ignore[attr-defined]
    return session


def tag_aiohttp(session: Client) -> Client:
    """Have an `aiohttp.ClientSession` send the current tags with every request, by a trace configuration."""
    import aiohttp  # noqa: PLC0415 - it is there: the session is of it

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(_trace)
    trace.freeze()
    session.trace_configs.append(trace)  # type: ignore[attr-defined]
    return session


def _hook(request: Any) -> None:  # noqa: ANN401 - an httpx.Request
    _add_to(request.headers)


async def _hook_later(request: Any) -> None:  # noqa: ANN401 - an httpx.Request; async clients await their hooks
    _add_to(request.headers)


async def _trace(_session: Any, _context: Any, start: Any) -> None:  # noqa: ANN401 - aiohttp awaits it
    _add_to(start.headers)


class _Adapter:
    """A transport adapter of requests around another."""

    def __init__(self, adapter: Any) -> None:  # noqa: ANN401 - a requests.adapters.BaseAdapter
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the adapter has
        return getattr(self._adapter, name)

    def send(self, request: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the adapter has it
        """Send one prepared request."""
        _add_to(request.headers)
        return self._adapter.send(request, *args, **options)

    def close(self) -> None:
        """Close the adapter."""
        self._adapter.close()


def _add_to(headers: MutableMapping[str, str]) -> None:
    for name, value in outgoing_headers():
        there = headers.get(name)
        if there is None:
            headers[name] = value
        elif name == "baggage":
            members = {member.strip() for member in there.split(",")}
            headers[name] = ",".join([there, *(member for member in value.split(",") if member not in members)])
