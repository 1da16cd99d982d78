"""The whole system on one machine, with real traffic: `gnomon demo`.

Envoy answers callers of a sample shop from its live build and mirrors them to a candidate and a control; the collector
puts the pairs on a Kafka-compatible broker, a worker joins, compares and lands them, and what was planted in the
candidate is looked for in what landed. All parts are the production ones; only the shop and its callers are made up.
"""

from __future__ import annotations

from gnomon.demo.planted import PLANTED, Planted

__all__ = ["PLANTED", "Planted"]
