"""What is wrong with the shop's candidate, and so has to be found; all else that is found is a mistake."""

from __future__ import annotations

from typing import Final

import msgspec

from gnomon.model import DifferenceKind

__all__ = ["PLANTED", "Planted"]


class Planted(msgspec.Struct, frozen=True):
    """One regression: where it shows. `kind` None: it shows in the latency of the endpoint."""

    what: str
    endpoint: str
    pattern: str = ""
    kind: DifferenceKind | None = None


PLANTED: Final = (
    Planted("the price became a string", "GET /products/{id}", "/body/price", "type_changed"),
    Planted("the voucher is gone", "GET /carts/{id}", "/body/voucher", "removed"),
    Planted("the last of the related came first", "GET /products/{id}/related", "/body/related/*", "moved"),
    Planted("searching became slower", "GET /search"),
)
