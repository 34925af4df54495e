"""Writing files: the old ones stay whole until the new ones are, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hx_sidecar_schema import HxError, atomic_folder, finish_writes, refuse_existing


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    (made / "a.onnx").write_bytes(b"old a")
    (made / "other.txt").write_bytes(b"other")
    return made


def test_files_appear_together_at_the_end(folder: Path) -> None:
    with atomic_folder(folder) as staging:
        (staging / "a.onnx").write_bytes(b"new a")
        (staging / "b.json").write_bytes(b"new b")
        assert (folder / "a.onnx").read_bytes() == b"old a"
        assert not (folder / "b.json").exists()
    assert files_of(folder) == {"a.onnx": b"new a", "b.json": b"new b", "other.txt": b"other"}
    assert names_in(folder) == ["a.onnx", "b.json", "other.txt"]


def test_folders_are_made_for_files_below(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "deep" / "out") as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.onnx").write_bytes(b"a")
    assert files_of(tmp_path) == {"deep/out/sub/a.onnx": b"a"}
    assert names_in(tmp_path / "deep" / "out") == ["sub"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_leaves_what_was_there(folder: Path, error: BaseException) -> None:
    before = files_of(folder)

    def write() -> None:
        with atomic_folder(folder) as staging:
            (staging / "a.onnx").write_bytes(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert files_of(folder) == before
    assert names_in(folder) == ["a.onnx", "other.txt"]


def test_a_failure_leaves_no_folder_that_was_made_for_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "deep" / "out"):
        raise ValueError("stop")
    assert names_in(tmp_path) == []


def test_an_error_of_the_user_passes_as_it_is(folder: Path) -> None:
    mine = HxError("mine", code="HX999", hint="none")
    with pytest.raises(HxError) as caught, atomic_folder(folder):
        raise mine
    assert caught.value is mine


def test_a_full_disk(folder: Path) -> None:
    before = files_of(folder)

    def write() -> None:
        with atomic_folder(folder) as staging:
            (staging / "a.onnx").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(HxError) as caught:
        write()
    assert caught.value.code == "HX306"
    assert "No space left" in caught.value.message
    assert caught.value.hint
    assert files_of(folder) == before
    assert names_in(folder) == ["a.onnx", "other.txt"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    with pytest.raises(HxError) as caught, atomic_folder(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")
    assert caught.value.code == "HX306"
    assert str(tmp_path / "file") in caught.value.message
    assert files_of(tmp_path) == {"file": b"not a folder"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(folder: Path) -> None:
    folder.chmod(0o555)
    try:
        with pytest.raises(HxError) as caught, atomic_folder(folder):
            pytest.fail("the block must not run")
        assert caught.value.code == "HX306"
        assert names_in(folder) == ["a.onnx", "other.txt"]
    finally:
        folder.chmod(0o755)


def test_a_name_that_a_folder_has(folder: Path) -> None:
    """Nothing is replaced where one of the files cannot be."""
    (folder / "b.json").mkdir()
    (folder / "b.json" / "kept").write_bytes(b"kept")
    before = files_of(folder)

    def write() -> None:
        with atomic_folder(folder) as staging:
            (staging / "a.onnx").write_bytes(b"new a")
            (staging / "b.json").write_bytes(b"new b")

    with pytest.raises(HxError) as caught:
        write()
    assert caught.value.code == "HX306"
    assert files_of(folder) == before


def test_two_writers_do_not_disturb_each_other(folder: Path) -> None:
    with atomic_folder(folder) as one:
        (one / "one").write_bytes(b"1")
        with atomic_folder(folder) as two:
            (two / "two").write_bytes(b"2")
        assert (one / "one").read_bytes() == b"1"
    assert names_in(folder) == ["a.onnx", "one", "other.txt", "two"]


def test_what_a_dead_process_left_is_removed(folder: Path) -> None:
    left = folder / ".hx-writing-abc"
    left.mkdir()
    (left / "files").mkdir()
    (left / "files" / "a.onnx").write_bytes(b"half")
    with atomic_folder(folder) as staging:
        (staging / "b.json").write_bytes(b"new")
    assert names_in(folder) == ["a.onnx", "b.json", "other.txt"]


def test_a_staging_folder_that_was_taken_away_is_an_error(folder: Path) -> None:
    def write() -> None:
        with atomic_folder(folder) as staging:
            (staging / "a.onnx").write_bytes(b"new")
            shutil.rmtree(staging.parent)

    with pytest.raises(HxError, match="taken away"):
        write()
    assert files_of(folder) == {"a.onnx": b"old a", "other.txt": b"other"}


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_only_regular_files_are_replaced(folder: Path, kind: str) -> None:
    target = folder / "a.onnx"
    target.unlink()
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(target))
    else:
        target.symlink_to("/dev/null")
    with pytest.raises(HxError) as caught:
        refuse_existing([target], overwrite=True)
    assert caught.value.code == "HX306"

    def write() -> None:
        with atomic_folder(folder) as staging:
            (staging / "a.onnx").write_bytes(b"new")

    with pytest.raises(HxError, match="no regular file"):
        write()
    assert not target.is_file()


KILLED = """
import os, sys
from pathlib import Path
from hx_sidecar_schema import atomic_folder
left = int(sys.argv[2])
def audit(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "tempfile.mkdtemp") or (
        event == "open" and ("w" in str(args[1]) or "a" in str(args[1]))
    ):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(audit)
with atomic_folder(Path(sys.argv[1])) as staging:
    for name in ("m.onnx.data", "m.onnx", "m_hierarchy.json"):
        (staging / name).write_text("new")
"""


def test_a_kill_at_any_moment_mixes_nothing(tmp_path: Path) -> None:
    """A model never lies beside weights or a sidecar of another; the next write completes what was complete."""
    ends: list[str] = []
    for moment in range(100):
        folder = tmp_path / str(moment)
        folder.mkdir()
        for name in ("m.onnx.data", "m.onnx", "m_hierarchy.json"):
            (folder / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", KILLED, folder, str(moment)], check=False)
        there = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        if "m.onnx" in there:
            assert there["m.onnx.data"] == there["m.onnx"]
            assert there.get("m_hierarchy.json", there["m.onnx"]) == there["m.onnx"]
        finish_writes(folder)
        after = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        assert len(after) == 3
        assert len(set(after.values())) == 1
        assert not list(folder.glob(".hx-writing-*"))
        ends.append(after["m.onnx"])
        if done.returncode == 0:
            break
    assert ends == sorted(ends, reverse=True)  # old, ..., old, new, ..., new
    assert ends[-1] == "new"
    assert ends.count("new") > 5


def test_a_file_that_cannot_be_replaced_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a_hierarchy.json").write_bytes(b"old")
    before = files_of(folder)
    real = os.replace

    def stubborn(source: Path, target: Path) -> None:
        if source == folder / "a.onnx":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source))
        real(source, target)

    def write(name: str) -> None:
        with atomic_folder(folder) as staging:
            for suffix in (".onnx", "_hierarchy.json"):
                (staging / f"{name}{suffix}").write_bytes(b"new")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", stubborn)
        with pytest.raises(HxError, match="not permitted"):
            write("a")
        assert files_of(folder) == before
        write("b")
    assert names_in(folder) == ["a.onnx", "a_hierarchy.json", "b.onnx", "b_hierarchy.json", "other.txt"]


def test_a_killed_process_leaves_the_old_files(folder: Path) -> None:
    """`kill -9` while files are staged; the next write clears up."""
    code = f"""
import time
from pathlib import Path
from hx_sidecar_schema import atomic_folder
with atomic_folder(Path({str(folder)!r})) as staging:
    (staging / "a.onnx").write_bytes(b"half of the new")
    print("staged", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "staged\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert (folder / "a.onnx").read_bytes() == b"old a"
    assert len(names_in(folder)) == 3  # with the abandoned staging folder
    with atomic_folder(folder) as staging:
        (staging / "a.onnx").write_bytes(b"new")
    assert files_of(folder) == {"a.onnx": b"new", "other.txt": b"other"}
    assert names_in(folder) == ["a.onnx", "other.txt"]


def test_files_keep_the_permissions_that_new_files_have(folder: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    with atomic_folder(folder) as staging:
        (staging / "b.json").write_bytes(b"b")
    assert (folder / "b.json").stat().st_mode & 0o777 == 0o666 & ~mask
    assert time.time() - (folder / "b.json").stat().st_mtime < 60
