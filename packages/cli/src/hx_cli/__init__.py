"""The hx command."""

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    import gc
    import os
    import sys

    # pydantic would look for plugins in the metadata of all installed packages: 8 ms
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from hx_cli._main import run

    code = run(sys.argv[1:])
    gc.freeze()  # Python would walk all objects once more to end the process: 0.9 s after a model of 100,000 nodes
    return code
