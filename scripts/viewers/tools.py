"""The viewers, in an environment of their own: what of them can be had here, and how one is run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
PACKAGES = {
    "Model Explorer": ("ai-edge-model-explorer==0.1.34", "model-explorer-onnx==0.4.2"),
    "Chromium's driver": ("playwright==1.65.2",),
}
"""What is installed for what."""


@dataclass(frozen=True)
class Tools:
    """What was installed into a folder."""

    folder: Path
    chromium: str | None
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """What is not to be had here, and why; nothing that needs it is tried."""

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
    chromium = shutil.which("chromium")
    if chromium is None:
        missing["Chromium"] = "is not installed here"
    return Tools(folder, None if "Chromium's driver" in missing else chromium, missing)


def _install(folder: Path, *packages: str) -> bool:
    command = ["uv", "pip", "install", "--quiet", "--python", _python(folder), *packages]
    return not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
