"""What the system knows of processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/prctl.2.html"""


def can_limit_memory() -> bool:
    """Say whether the memory of another process can be read here: /proc is Linux's."""
    return Path("/proc/self/statm").exists()


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has now, what it shares with others included; 0 of one that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def end_with_parent(parent: int) -> None:
    """Let this process be killed when its parent ends, however that does; nothing outside of Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)
