"""A gRPC call through a real Envoy: its status is in the trailers of both sides' records."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from tests.integration.envoy.parts import (
    COLLECTOR,
    CONTROL_SERVICE,
    LIVE_SERVICE,
    SHADOW_SERVICE,
    CollectorProcess,
    envoy,
    free_ports,
)

pytestmark = [pytest.mark.integration, pytest.mark.envoy]

HTTP_2 = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"""


@contextmanager
def cart(answer: bytes | None) -> Iterator[int]:
    """A service `shop.Cart` whose `Get` gives this, or that there is none; gives its port."""

    def get(asked: bytes, context: grpc.ServicerContext) -> bytes:
        if answer is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such cart")
        return asked + (answer or b"")

    server = grpc.server(ThreadPoolExecutor(2))
    handler = {"Get": grpc.unary_unary_rpc_method_handler(get)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Cart", handler),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_the_status_of_a_call_is_in_the_trailers(tmp_path: Path) -> None:
    """The caller gets live's answer; that the shadow has none is in its record, and the bodies are bytes."""
    (port,) = free_ports(1)
    collector = CollectorProcess(tmp_path, port)
    collector.start()
    changes = {
        f"  - name: {name}\n    connect_timeout: 2s\n": f"  - name: {name}\n    connect_timeout: 2s\n{HTTP_2}"
        for name in ("live", "shadow", "control")
    }
    changes["mirrored: [GET, HEAD, OPTIONS]"] = "mirrored: [POST /shop.Cart/Get]"
    with ExitStack() as stack:
        ports = {
            COLLECTOR: port,
            LIVE_SERVICE: stack.enter_context(cart(b"!")),
            SHADOW_SERVICE: stack.enter_context(cart(None)),
            CONTROL_SERVICE: stack.enter_context(cart(b"!")),
        }
        caller = stack.enter_context(envoy(tmp_path, ports, changes))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{caller}"))
        assert channel.unary_unary("/shop.Cart/Get")(b"\xff\x00", timeout=10) == b"\xff\x00!"
        records = collector.wait("/shop.Cart/Get")
    assert collector.stop() == 0
    # Without a message the status is in the headers: gRPC's "trailers only"
    said = {role: record["response"] for role, record in records.items()}
    status = {role: dict(of.get("trailers", of["headers"]))["grpc-status"] for role, of in said.items()}
    assert status == {"live": "0", "shadow": "5", "control": "0"}
    body = records["live"]["response"]["body"]
    assert base64.b64decode(body["data"]) == b"\x00\x00\x00\x00\x03\xff\x00!"
