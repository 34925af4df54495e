"""The folder of `hx.debug`, and what is left out of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

import hx
from hx._debug import debug as _debug
from hx._redacted import redactor, without_folders


def broken() -> None:
    raise RuntimeError("no weights")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_that_exists_is_replaced_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    (folder / "session.json").write_text('{"files": [{"path": "old.txt"}]}')
    with pytest.raises(hx.HxError) as caught:
        hx.debug(broken, folder)
    assert caught.value.code == "HX402"

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device", "report.md")

    with monkeypatch.context() as patched:
        patched.setattr(_debug, "page", full)
        with pytest.raises(hx.HxError) as caught:
            hx.debug(broken, folder, overwrite=True)
    assert caught.value.code == "HX306"
    assert names(folder) == {"old.txt", "session.json"}
    assert names(tmp_path) == {"session"}
    assert hx.debug(broken, folder, overwrite=True).verdict == "not_loaded"
    assert names(folder) == {"log.txt", "report.md", "session.json"}
    assert names(tmp_path) == {"session"}


def test_words_lose_places_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "homes" / "erika"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "project")
    words = redactor([home], numbers=True)
    packages = Path(shutil.__file__).parent
    assert words(f"{home}/project/a.py {home} {home}.cfg {home}s {packages}/x.py") == (
        f"./a.py <model> <model>.cfg {str(home).replace(tempfile.gettempdir(), '<tmp>')}s <python>/x.py"
    )
    assert words("tensor([[0.1, -2.0e-3],\n [nan, 1.5]]) {0.25} shape [2, 3] 0.5") == (
        "tensor([[...],\n [...]]) {...} shape [2, 3] 0.5"
    )
    assert redactor(numbers=False)("[0.5] \x1b[96mblue\x1b[0m") == "[0.5] blue"
    assert redactor(numbers=False)('File "/srv/my code/net.py", line 1; /srv/code/net.py(3): x/y.py') == (
        'File "net.py", line 1; net.py(3): x/y.py'
    )


def test_a_command_line_names_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "bert").mkdir(parents=True)
    words = {
        "models/bert": "bert",
        ".": tmp_path.name,
        f"{tmp_path}/models/bert/": "bert",
        "../x/net.py:make": "net.py:make",
        "new/m.onnx": "m.onnx",
        "--output=new/m.onnx": "--output=m.onnx",
        "org/bert": "org/bert",
        "package.module:make": "package.module:make",
        "past.*=batch:0": "past.*=batch:0",
        "--dynamic": "--dynamic",
    }
    assert {word: without_folders(word) for word in words} == words
