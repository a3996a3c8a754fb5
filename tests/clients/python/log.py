"""The event logs as a client keeps them: what was seen, what is void again, where to resume."""

from __future__ import annotations

from typing import Any

LOGS = ("sim", "system")


class OutOfOrder(Exception):
    """An event that is not the next one of its log."""


class Logs:
    """Events of both logs by seq. With `dense`, each must follow the last one of its log without a gap."""

    def __init__(self, dense: bool = True) -> None:
        self.dense = dense
        self.events: dict[str, dict[int, dict[str, Any]]] = {log: {} for log in LOGS}
        self.last: dict[str, int] = {log: 0 for log in LOGS}
        self.begun = False
        self.epoch = 0

    def begin(self, message: dict[str, Any]) -> None:
        """Takes a hello of one who wants only what happens from the first hello on."""
        if not self.begun:
            self.last = {"sim": message["next_event"] - 1, "system": message["next_system_event"] - 1}
            self.begun = True
        self.hello(message)

    def hello(self, message: dict[str, Any]) -> None:
        """Takes back what a hello makes void, and only that."""
        epochs = [begun["epoch"] for begun in message["epochs"]]
        if epochs != sorted(set(epochs)) or any(epoch > message["epoch"] for epoch in epochs):
            raise OutOfOrder(f"epochs {epochs} at epoch {message['epoch']}")
        seen, self.epoch = self.epoch, max(self.epoch, message["epoch"])
        void = next((begun for begun in message["epochs"] if begun["epoch"] > seen), None)
        # Whoever has seen no hello has seen nothing that could be void.
        if seen == 0 or void is None:
            return
        for log, key in (("sim", "from_event"), ("system", "from_system_event")):
            for seq in [seq for seq in self.events[log] if seq >= void[key]]:
                del self.events[log][seq]
            self.last[log] = min(self.last[log], void[key] - 1)

    def event(self, message: dict[str, Any]) -> None:
        """Takes an event."""
        log, seq = message["log"], message["seq"]
        if seq <= self.last[log] or (self.dense and seq != self.last[log] + 1):
            raise OutOfOrder(f"{log}: event {seq} after {self.last[log]}")
        self.events[log][seq] = message
        self.last[log] = seq

    def missing(self, message: dict[str, Any]) -> None:
        """Passes over events that nobody has any more."""
        log = message["log"]
        if message["from_seq"] != self.last[log] + 1 or message["to_seq"] < message["from_seq"]:
            raise OutOfOrder(f"{log}: missing {message['from_seq']} to {message['to_seq']} after {self.last[log]}")
        self.last[log] = message["to_seq"]

    def resume_query(self) -> dict[str, str]:
        """The parameters that go on where this stopped."""
        return {
            "events": "all",
            "from_epoch": str(self.epoch),
            "from_event": str(self.last["sim"] + 1),
            "from_system_event": str(self.last["system"] + 1),
        }
