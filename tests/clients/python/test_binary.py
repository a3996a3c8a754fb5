"""The decoder against the worked example of docs/stream.md, read from the page itself."""

import math
import re
import unittest
from pathlib import Path

from binary import Ids, Malformed, decode_ids, decode_tick

PAGE = Path(__file__).resolve().parents[3] / "docs" / "stream.md"


def dumps() -> list[bytes]:
    """The hex dumps of the page, in its order: `ids`, then the tick."""
    blocks = re.findall(r"```text\n((?:[0-9a-f]{4}(?:  ?[0-9a-f]{2})+\n)+)```", PAGE.read_text())
    return [bytes.fromhex("".join(line[4:] for line in block.splitlines())) for block in blocks]


class WorkedExample(unittest.TestCase):
    def setUp(self) -> None:
        self.ids_bytes, self.tick_bytes = dumps()

    def ids(self) -> Ids:
        return decode_ids(self.ids_bytes)

    def test_ids(self) -> None:
        ids = self.ids()
        self.assertEqual(str(ids.simulation), "01970000-0000-7000-8000-000000000001")
        self.assertEqual((ids.sites, ids.machines), (1, (1, 2)))
        self.assertEqual(ids.world_m[0], -ids.world_m[2])
        self.assertEqual([(b.site, b.machines, b.first, b.east_m, b.north_m) for b in ids.blocks], [(0, 2, 0, 0, 0)])

    def test_tick(self) -> None:
        tick = decode_tick(self.tick_bytes, self.ids())
        self.assertEqual((tick.tick, tick.epoch, tick.entities_total), (4000, 1, 2))
        self.assertAlmostEqual(tick.sim_time_s, 200)
        self.assertEqual(tick.sums.machines, 2)
        west, south, east, north = tick.parts[0].box_m
        first, second = tick.machines[1], tick.machines[2]
        self.assertEqual((first.x, first.y, second.x, second.y), (west, south, east, north))
        self.assertEqual(south, north)
        self.assertTrue(0 <= first.heading < math.tau)

    def test_a_later_version_may_put_more_before_the_blocks(self) -> None:
        longer = bytearray(self.tick_bytes)
        longer[344:344] = b"\xaa" * 16
        longer[2:4] = (360).to_bytes(2, "little")
        self.assertEqual(decode_tick(bytes(longer), self.ids()), decode_tick(self.tick_bytes, self.ids()))

    def test_every_shorter_or_longer_message_is_refused(self) -> None:
        ids = self.ids()
        for end in range(len(self.ids_bytes)):
            self.assertRaises(Malformed, decode_ids, self.ids_bytes[:end])
        for end in range(len(self.tick_bytes)):
            self.assertRaises(Malformed, decode_tick, self.tick_bytes[:end], ids)
        self.assertRaises(Malformed, decode_ids, self.ids_bytes + b"\0")
        self.assertRaises(Malformed, decode_tick, self.tick_bytes + b"\0", ids)

    def test_numbers_out_of_range_are_refused(self) -> None:
        ids = self.ids()
        for offset, value in ((0, 3), (1, 2), (4, 2), (48, 1), (344, 1), (348, 3), (368 + 7, 10)):
            wrong = bytearray(self.tick_bytes)
            wrong[offset] = value
            with self.subTest(offset=offset):
                self.assertRaises(Malformed, decode_tick, bytes(wrong), ids)


if __name__ == "__main__":
    unittest.main()
