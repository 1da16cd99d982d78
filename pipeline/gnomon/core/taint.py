"""Taint: ids that were seen on tagged events make later events with them synthetic too, for a time.

An event's time is its Kafka timestamp, and at most the clock: one that claims to be from the future neither taints for
longer nor escapes. Later is what comes after it in the topic, whatever its timestamp. Memory is bounded; what is
forgotten before its time is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from gnomon.core.pointer import parse_pointer
from gnomon.core.routing import Late, Routing, scalar_text, values_at
from gnomon.model import JsonValue

__all__ = ["MAX_CLEAN", "MAX_TAINTED", "PartitionTaint", "TaintedIds"]

MAX_TAINTED: Final = 500_000
"""Ids that are remembered as tainted; some 100 MB."""
MAX_CLEAN: Final = 50_000
"""Ids of one partition whose clean events are remembered, should a tag come late."""
_LONG: Final = 64


class TaintedIds:
    """Ids that were seen on tagged events, each until when; what was seen longest ago is forgotten first.

    Args:
        path: A JSON Pointer to the ids, with `*` steps.
        milliseconds: How long a tag taints.
        most: Ids that are remembered.
    """

    def __init__(self, path: str, milliseconds: int, most: int = MAX_TAINTED) -> None:
        self.path = path
        self.milliseconds = milliseconds
        self.forgotten = 0
        """Ids that were forgotten before their time."""
        self._steps = parse_pointer(path)
        self._most = most
        self._until: dict[str, int] = {}

    def __len__(self) -> int:
        """Count the ids that are remembered."""
        return len(self._until)

    def ids(self, document: JsonValue) -> list[str]:
        """Give the ids of an event; long ones by their hash."""
        found = [text for text in map(scalar_text, values_at(document, self._steps)) if text]
        return [_remembered(text) for text in found]

    def mark(self, ids: Iterable[str], at: int) -> None:
        """Take note that ids were on a tagged event of a time, in epoch milliseconds."""
        until = at + self.milliseconds
        for one in ids:
            self._until[one] = max(until, self._until.pop(one, until))
            if len(self._until) > self._most:
                oldest = next(iter(self._until))
                self.forgotten += self._until.pop(oldest) >= at

    def holds(self, one: str, at: int) -> bool:
        """Whether an id is tainted at a time."""
        return self._until.get(one, -1) >= at


class PartitionTaint:
    """Taint for the events of one partition, in their order.

    What its tags mark counts for itself at once, and for others with `commit`: a transaction that is taken back is
    judged anew, by another object, and must not find what it marked itself.

    Args:
        tainted: Shared by all partitions of a route in one process, and so best effort where ids are not the keys.
        most: Ids whose clean events are remembered.
    """

    def __init__(self, tainted: TaintedIds, most: int = MAX_CLEAN) -> None:
        self._tainted = tainted
        self._most = most
        self._clean: dict[str, tuple[Late, int]] = {}
        self._marked: dict[str, int] = {}

    def commit(self) -> None:
        """Take note that what was judged is sent on."""
        for one, at in self._marked.items():
            self._tainted.mark([one], at)
        self._marked.clear()

    def judge(self, routing: Routing, ids: Sequence[str], key: bytes | None, offset: int, at: int) -> Routing:
        """Judge an event once more.

        Args:
            routing: What its tags say.
            ids: Its ids.
            key: Its Kafka key: one that is the id has all its events in this partition, so it is a promise there.
            offset: Its offset.
            at: Its time, in epoch milliseconds.
        """
        if routing.to == "synthetic":
            for one in ids:
                self._marked[one] = max(at, self._marked.pop(one, at))
            late = [seen for one in ids for seen in self._late(one, at)]
            return routing._replace(late=late) if late else routing
        if routing.to != "clean" or not ids:
            return routing
        for one in ids:
            if self._holds(one, at):
                return Routing("synthetic", self.rule(one, key))
        for one in ids:
            self._note(one, offset, at)
        return routing

    def _holds(self, one: str, at: int) -> bool:
        marked = self._marked.get(one)
        return (marked is not None and at - marked <= self._tainted.milliseconds) or self._tainted.holds(one, at)

    def rule(self, one: str, key: bytes | None) -> str:
        """Name the rule: apart where it is a promise."""
        sure = key is not None and _remembered(key.decode("utf-8", "replace")) == one
        return f"taint {self._tainted.path}" + ("" if sure else " (not the key: best effort)")

    def _note(self, one: str, offset: int, at: int) -> None:
        seen, _ = self._clean.pop(one, (None, 0))
        late = Late(1, offset, offset) if seen is None else Late(seen.events + 1, seen.first, offset)
        self._clean[one] = (late, at)
        if len(self._clean) > self._most:
            del self._clean[next(iter(self._clean))]

    def _late(self, one: str, at: int) -> list[Late]:
        late, seen_at = self._clean.pop(one, (None, 0))
        return [] if late is None or at - seen_at > self._tainted.milliseconds else [late]


def _remembered(text: str) -> str:
    return text if len(text) <= _LONG else blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
