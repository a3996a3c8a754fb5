"""The notebook and the readme, run as they are written."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import Server

PACKAGE = Path(__file__).parents[1]
PATIENCE_S = 120


def test_the_notebook_runs_and_plots(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notebook: Any = nbformat.read(PACKAGE / "examples" / "farm.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code), "outputs are not for the repository"
    monkeypatch.setenv("AUTOFARM_URL", server.url)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    # Of this very Python, whatever kernels are installed on the machine.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))
    NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3").execute()
    outputs: list[Any] = [output for cell in code for output in cell.outputs]
    assert [output.name for output in outputs if output.output_type == "stream"] == ["stdout"]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert [len(picture) > 10_000 for picture in pictures] == [True, True]
    assert "'transition'" in outputs[-1].data["text/plain"]


def test_the_readme_is_right(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("http://127.0.0.1:8080", server.url), names)
    names["farm"].close()
    printed = capsys.readouterr().out
    assert "invalid entities 1 to 1000000" in printed
    assert "13, 14" in printed
    assert "Machine(id=" in printed
    assert "\n1000 2 machines hold\nthe run is completed\n" in printed
