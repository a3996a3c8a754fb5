"""docs/stream.md: its text, and the bytes of its worked example."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "stream.md").read_text()


def example(number: int) -> bytes:
    """The bytes of the page's worked example: 0 is `ids`, 1 is the tick."""
    block = re.findall(r"```text\n((?:[0-9a-f]{4}  .*\n)+)```", PAGE)[number]
    return bytes.fromhex("".join(line[6:] for line in block.splitlines()))
