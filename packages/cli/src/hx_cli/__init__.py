"""The hx command."""

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    import sys

    from hx_cli._main import run

    return run(sys.argv[1:])
