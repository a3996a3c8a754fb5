"""Bounds and tiles."""

import unittest

from view import snapped


class Snapping(unittest.TestCase):
    def test_the_pages_example(self) -> None:
        self.assertEqual(snapped((0, 0, 100, 80)), (0, 0, 128, 96))

    def test_edges_move_outward_and_stay_on_tiles(self) -> None:
        self.assertEqual(snapped((-1, -33, 1, -32)), (-16, -48, 16, -32))
        self.assertEqual(snapped((0, 0, 64, 64)), (0, 0, 64, 64))
        self.assertEqual(snapped((0, 0, 64.5, 10)), (0, 0, 96, 32))


if __name__ == "__main__":
    unittest.main()
