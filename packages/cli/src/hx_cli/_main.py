"""From arguments to an exit code: the one place where exceptions become messages."""

import io
import os
import sys
import traceback

import typer

import hx
from hx_cli._app import program
from hx_cli._options import hint_of

DONE, COULD_NOT, BUG, INTERRUPTED = 0, 2, 70, 130


def run(argv: list[str]) -> int:
    """Run one command, whose arguments are `argv`, without the program's name; return the exit code.

    0 done, 1 the answer is no, 2 could not, 70 a bug in hx, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without these characters shows `?`, no traceback
            stream.reconfigure(errors="replace")
    usage_error = typer.BadParameter.__mro__[1]  # typer carries its own click since 0.26
    hx.command_line.set(["hx", *argv])
    try:
        code = program().main(argv or ["--help"], prog_name="hx", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 the border of the program: everything becomes a message here
        return _usage(error) if isinstance(error, usage_error) else _failed(error)
    return code if isinstance(code, int) else DONE


def _usage(error: Exception) -> int:
    path = getattr(getattr(error, "ctx", None), "command_path", "hx")
    _say(getattr(error, "format_message", error.__str__)(), "HX405", f"Run `{path} --help`.")
    return COULD_NOT


def _failed(error: Exception) -> int:
    if os.environ.get("HX_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, hx.HxError):
        _say(error.message, error.code, hint_of(error))
        return COULD_NOT
    hint = "Run the command again with HX_DEBUG=1 set, and report the traceback that it shows."
    _say(f"A bug in hx: {type(error).__name__}: {error}", "HX700", hint)
    return BUG


def _say(message: str, code: str, hint: str) -> None:
    """Write the two lines of an error; each stays one line, whatever the message holds."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    label, end = ("\x1b[1;31m", "\x1b[0m") if coloured else ("", "")
    print(f"{label}error[{code}]{end}: {' '.join(message.split())}", file=sys.stderr)
    print(f"hint: {' '.join(hint.split())}", file=sys.stderr)
