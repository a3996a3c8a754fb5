"""Runs the examples of a page as they are written there.

    python readme.py PAGE URL

An example is a block that begins with ```console. In it a line that begins with `$ ` is a command, which goes on
in the next line where it ends in a backslash; the other lines are what it prints. All commands of the page run in one
shell, in their order, so that a variable that one sets is there for the next; each must succeed, and an HTTP answer
of 400 or more is a failure. Of what is printed, each line must come, in this order; `…` stands for anything.

The server that the page talks of, at 127.0.0.1:8080 or localhost:8080, is the one at URL; a command that would start
it (`autofarm up`, `cargo run ... -- up`) is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER = re.compile(r"\b(?:127\.0\.0\.1|localhost):8080\b")
STARTS_SERVER = re.compile(r"^(?:\S*autofarm|cargo run\b.* --) up\b")
# Separates what one command prints from what the next one does.
MARK = "\x1e"
# Longest that all commands of a page may take.
PATIENCE_S = 300
PRELUDE = """
set -euo pipefail
exec 2>&1
curl() { command curl --fail-with-body --silent --show-error --max-time 60 "$@"; }
"""


@dataclass
class Example:
    """A command and what it prints."""

    command: str
    prints: list[str] = field(default_factory=list)


def examples(page: str) -> list[Example]:
    """The examples of a page; raises `ValueError` where a block begins with no command."""
    found: list[Example] = []
    for block in BLOCK.findall(page):
        is_going_on = False
        in_block = 0
        for line in block.splitlines():
            if is_going_on:
                found[-1].command += "\n" + line
            elif line.startswith("$ "):
                found.append(Example(line[2:]))
                in_block += 1
            elif in_block == 0:
                raise ValueError(f"a block begins with {line!r}, which is no command")
            elif line.strip() and not line.startswith("# "):
                found[-1].prints.append(line)
                continue
            is_going_on = line.endswith("\\")
    return found


def differs(example: Example, printed: str) -> str | None:
    """The first line that was to be printed and was not."""
    lines = iter(printed.splitlines())
    for wanted in example.prints:
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        if not any(re.fullmatch(pattern, line) for line in lines):
            return wanted
    return None


def run(found: list[Example], url: str, directory: Path) -> int:
    """Runs them and says what came of it; answers how many failed."""
    address = url.removeprefix("http://").rstrip("/")
    commands = [SERVER.sub(address, example.command) for example in found]
    script = PRELUDE + "".join(f"printf '{MARK}'\n{command}\n" for command in commands) + f"printf '{MARK}'\n"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
    )
    printed = ran.stdout.decode(errors="replace").split(MARK)[1:]
    failed = 0
    for number, example in enumerate(found):
        # Behind the last command stands one mark more; where it is missing, the shell has ended in this one.
        is_reached, is_done = number < len(printed), number + 1 < len(printed)
        missing = differs(example, printed[number]) if is_done else None
        if is_done and missing is None:
            print(f"ok      $ {example.command}")
            continue
        failed += 1
        why = f"does not print {missing!r}" if is_done else f"fails ({ran.returncode})" if is_reached else "is not reached"
        print(f"FAILED  $ {example.command}\n        {why}")
        if is_reached:
            print("        " + printed[number].replace("\n", "\n        ").rstrip())
    return failed


def main(page: Path, url: str) -> int:
    """Runs the examples of a page."""
    found = [example for example in examples(page.read_text()) if not STARTS_SERVER.match(example.command)]
    if not found:
        print(f"{page} has no example", file=sys.stderr)
        return 1
    return 1 if run(found, url, Path.cwd()) else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
