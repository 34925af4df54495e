"""The exceptions that users see: what is wrong, a stable code, one thing to do."""

from collections.abc import Iterable


class HxError(Exception):
    """A failure that the user can act on. A traceback shows code and hint below the message.

    Args:
        message: What is wrong, with the offending value as its `repr`.
        code: Stable identifier, `HX` and three digits, listed in `docs/errors.md`; a subclass names its own.
        hint: One imperative next step.
        argument: Name of the argument of the Python API that helps; empty where none does.
    """

    code: str = ""

    def __init_subclass__(cls, *, code: str = "") -> None:
        cls.code = code or cls.code

    def __init__(self, message: str, *, hint: str, code: str = "", argument: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code
        self.hint = hint
        self.argument = argument
        self.add_note(f"{self.code}: {hint}" + (f" The argument is `{argument}`." if argument else ""))

    @property
    def message(self) -> str:
        """What is wrong, without code and hint."""
        return str(self.args[0])


class UnfitInputs(HxError, code="HX109"):
    """The inputs do not fit `forward()`: other names, too many, or shapes that it refuses."""


class ModelDoesNotRun(HxError, code="HX121"):
    """ONNX Runtime cannot run the model on its example inputs."""


class RuntimeRefusal(HxError, code="HX207"):
    """ONNX Runtime does not load a model, or does not run it on these inputs."""


class MissingKernel(RuntimeRefusal, code="HX215"):
    """ONNX Runtime has no kernel for an operator on these types: the model may be right, and another runtime may run it."""


class UnavailableValue(HxError, code="HX206"):
    """A value that a call takes cannot be told from the model and its recorded inputs."""


class MissingValue(UnavailableValue, code="HX201"):
    """The model has no such value."""


class ForeignSidecar(HxError, code="HX203"):
    """The sidecar belongs to another model."""


class MissingSidecar(HxError, code="HX301"):
    """There is no sidecar, or it cannot be read."""


class UnknownCall(HxError, code="HX401"):
    """No module call matches a pattern."""


def check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    """Stop where an argument has a value that it does not take.

    Raises:
        HxError: HX406 if `value` is none of `choices`.
    """
    choices = list(choices)
    if value not in choices:
        raise HxError(
            f"{argument!r} cannot be {value!r}.",
            code="HX406",
            hint=f"Take one of {', '.join(map(repr, choices))}.",
            argument=argument,
        )


def first_line(error: BaseException, *, with_type: bool = False) -> str:
    """Return the first line of an error's text that is not blank, at most 300 characters; what UTF-8 does not have is escaped.

    Args:
        error: Any exception; one without text gives the name of its type.
        with_type: Return `ValueError: text` instead.
    """
    name = type(error).__name__
    try:
        whole = str(error)
    except Exception:  # noqa: BLE001 of somebody else's class: Python's own tracebacks say so too
        whole = "<exception str() failed>"
    text = next((line.strip() for line in whole.splitlines() if line.strip()), "")
    said = (f"{name}: {text}" if with_type else text or name)[:300]
    return said.encode("utf-8", "backslashreplace").decode()
