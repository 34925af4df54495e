"""The hx command."""

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    import gc
    import os
    import sys

    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # pydantic would read what all installed packages offer: 8 ms
    from hx_cli._main import run

    code = run(sys.argv[1:])
    gc.freeze()  # Python would walk all objects once more to end the process: 0.9 s after a model of 100,000 nodes
    return code
