"""The notebook runs from top to bottom, shows tables, and is committed without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The code cells with their outputs; nothing beside the notebook is changed."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_cell_runs_and_warns_of_nothing(executed: list[Any]) -> None:
    streams = [output for cell in executed for output in cell.outputs if output.output_type == "stream"]
    warned = [stream.text for stream in streams if stream.name == "stderr"]
    assert all("TqdmWarning" in text for text in warned)  # of tqdm, where ipywidgets is not installed
    printed = "".join(stream.text for stream in streams)
    assert "outputs equal to PyTorch's" in printed
    assert "the first wrong one is /Encoder/Block.1/Attention/Linear.value" in printed


def test_tables_are_shown(executed: list[Any]) -> None:
    tables = [
        output.data["text/html"]
        for cell in executed
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 4
    assert all("<table>" in table for table in tables)


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
