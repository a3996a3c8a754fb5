"""Examples of a page: how they are found, run and judged. No server is needed."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from readme import examples, main, run

PAGE = """
    $ this is indented, and no example

```console
$ cargo run --release -- up
AutoFarm     http://127.0.0.1:8080/
```

```console
$ ID=$(echo 017)
$ echo "at 127.0.0.1:8080, \\
      $ID"
at 127.0.0.1:2345, …
```

```sh
$ this is of another kind
```
"""


class Pages(unittest.TestCase):
    def judged(self, page: str) -> tuple[int, str]:
        printed = io.StringIO()
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(printed):
            path = Path(directory) / "page.md"
            path.write_text(page)
            with contextlib.redirect_stderr(printed):
                status = main(path, "http://127.0.0.1:2345")
        return status, printed.getvalue()

    def test_commands_and_what_they_print_are_found(self) -> None:
        found = examples(PAGE)
        self.assertEqual([example.command.split()[0] for example in found], ["cargo", "ID=$(echo", "echo"])
        self.assertEqual(found[2].prints, ["at 127.0.0.1:2345, …"])

    def test_they_run_in_one_shell_against_the_server(self) -> None:
        status, printed = self.judged(PAGE)
        self.assertEqual(status, 0, printed)
        self.assertEqual(printed.count("ok "), 2)

    def test_a_command_that_fails_is_found_and_those_behind_it_do_not_run(self) -> None:
        status, printed = self.judged("```console\n$ true\n$ false\n$ touch /nowhere/x\n```\n")
        self.assertEqual(status, 1)
        self.assertEqual((printed.count("ok "), printed.count("fails"), printed.count("is not reached")), (1, 1, 1))

    def test_another_output_is_found(self) -> None:
        for wanted in ("two", "one\nthree", "o", "two\none"):
            status, printed = self.judged(f"```console\n$ echo one; echo 2\n{wanted}\n```\n")
            self.assertEqual(status, 1, printed)
        self.assertEqual(self.judged("```console\n$ echo one; echo 2\no…\n2\n```\n")[0], 0)

    def test_a_page_without_examples_is_none(self) -> None:
        self.assertEqual(self.judged("nothing here")[0], 1)
        self.assertRaises(ValueError, examples, "```console\necho hello\n```\n")
        self.assertEqual(run([], "http://127.0.0.1:2345", Path.cwd()), 0)


if __name__ == "__main__":
    unittest.main()
