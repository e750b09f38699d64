"""Every notebook is clean in the repository and runs to its end, conclusions included.

A conclusion's last cell asserts what the text claims, so a record that no longer supports it
fails here.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient import NotebookClient

ROOT: Final = Path(__file__).parent.parent
NOTEBOOKS: Final = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_six() -> None:
    """In reading order."""
    assert [path.stem for path in NOTEBOOKS] == [
        *("01-first-look", "02-does-the-lock-matter", "03-preallocate"),
        *("04-your-own-transport", "05-from-envs-to-settings", "06-why-is-it-slower"),
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean(path: Path) -> None:
    """No outputs, no counts, nothing of the machine it was written on."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(notebook))
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}
    assert any("## Conclusion" in "".join(cell["source"]) for cell in notebook["cells"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, tmp_path: Path) -> None:
    """In a folder of its own, beside the reference runs."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "results").symlink_to(ROOT / "results")
    shutil.copy(path, folder)
    notebook: Any = nbformat.read(folder / path.name, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    shown = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type in {"display_data", "execute_result"}
    ]
    assert any("image/png" in output.data for output in shown)
    assert any("text/html" in output.data for output in shown)
    assert not any(
        output.output_type == "stream" and output.name == "stderr"
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
