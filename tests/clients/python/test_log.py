"""What a client keeps of the logs: voids, gaps and resuming."""

import unittest
from typing import Any

from log import Logs, OutOfOrder


def event(seq: int, log: str = "sim") -> dict[str, Any]:
    return {"type": "event", "log": log, "seq": seq}


def hello(epoch: int, *begun: tuple[int, int, int]) -> dict[str, Any]:
    """A hello; of each take-over its epoch, and where both logs began then."""
    names = ("epoch", "from_event", "from_system_event")
    return {"type": "hello", "epoch": epoch, "epochs": [dict(zip(names, begin)) for begin in begun]}


class Keeping(unittest.TestCase):
    def setUp(self) -> None:
        self.logs = Logs()
        self.logs.hello(hello(2, (2, 1, 1)))
        for seq in (1, 2, 3):
            self.logs.event(event(seq))
        self.logs.event(event(1, "system"))

    def test_resumes_behind_the_last(self) -> None:
        wanted = {"events": "all", "from_epoch": "2", "from_event": "4", "from_system_event": "2"}
        self.assertEqual(self.logs.resume_query(), wanted)

    def test_a_newer_epoch_voids_what_the_next_one_did_not_find_written(self) -> None:
        self.logs.hello(hello(4, (2, 1, 1), (3, 2, 5), (4, 3, 5)))
        self.assertEqual((list(self.logs.events["sim"]), list(self.logs.events["system"])), ([1], [1]))
        self.logs.event(event(2))
        self.logs.hello(hello(4, (3, 2, 5), (4, 3, 5)))
        self.assertEqual(list(self.logs.events["sim"]), [1, 2], "the same epoch voids nothing")

    def test_epochs_out_of_order_are_found(self) -> None:
        self.assertRaises(OutOfOrder, self.logs.hello, hello(3, (4, 1, 1)))
        self.assertRaises(OutOfOrder, self.logs.hello, hello(3, (3, 1, 1), (2, 1, 1)))

    def test_gaps_and_repetitions_are_found(self) -> None:
        self.assertRaises(OutOfOrder, self.logs.event, event(5))
        self.assertRaises(OutOfOrder, self.logs.event, event(3))
        self.assertRaises(OutOfOrder, self.logs.event, event(1, "system"))

    def test_what_is_missing_is_passed_over(self) -> None:
        self.logs.missing({"log": "sim", "from_seq": 4, "to_seq": 8})
        self.logs.event(event(9))
        self.assertRaises(OutOfOrder, self.logs.missing, {"log": "sim", "from_seq": 12, "to_seq": 13})


if __name__ == "__main__":
    unittest.main()
