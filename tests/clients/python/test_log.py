"""What a client keeps of the logs: voids, gaps and resuming."""

import unittest
from typing import Any

from log import Logs, OutOfOrder


def event(seq: int, log: str = "sim") -> dict[str, Any]:
    return {"type": "event", "log": log, "seq": seq}


class Keeping(unittest.TestCase):
    def setUp(self) -> None:
        self.logs = Logs()
        self.logs.hello({"next_event": 1, "next_system_event": 1})
        for seq in (1, 2, 3):
            self.logs.event(event(seq))
        self.logs.event(event(1, "system"))

    def test_resumes_behind_the_last(self) -> None:
        self.assertEqual(self.logs.resume_query(), {"events": "all", "from_event": "4", "from_system_event": "2"})

    def test_a_hello_voids_what_is_at_or_above_its_seqs(self) -> None:
        self.logs.hello({"next_event": 2, "next_system_event": 5})
        self.assertEqual((list(self.logs.events["sim"]), list(self.logs.events["system"])), ([1], [1]))
        self.logs.event(event(2))

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
