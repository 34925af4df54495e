"""What a profile says: time by module call and by kernel. A file format, like the sidecar."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from hx_sidecar_schema import HxError, Record

PROFILE_VERSION = "1.1"


class Kernel(Record):
    """One node of the executed graph, over all measured runs."""

    name: str = Field(description="As ONNX Runtime names it.")
    op_type: str
    provider: str = Field(description="Execution provider that ran it.")
    node: str | None = Field(description="`graph:output` in the executed graph; null where it is not in it.")
    call: int | None = Field(description="Position in `calls`; null where unattributed.")
    covers: list[int] = Field(
        default_factory=list,
        description="Positions of the calls that a fused node stands for, where several: `call` is around them all.",
    )
    confidence: str | None = Field(default=None, description="How surely the call is known.")
    reason: str = Field(default="", description="Why it is unattributed, or stands for several nodes.")
    executions: int = Field(description="Over all measured runs; a node in a loop has several a run.")
    self_us: int = Field(description="Without the kernels that ran in its bodies.")
    total_us: int
    median_us: float = Field(description="Of `self_us` by run.")
    peak_memory_bytes: int | None = Field(
        default=None, description="Largest memory in use while it ran; null where the profile does not say."
    )


class CallTime(Record):
    """One module call, over all measured runs."""

    fqn: str
    call: int = Field(description="0-based index among the calls of its module.")
    calls: int = Field(description="Number of calls of its module.")
    tag: str
    class_name: str
    parent: int | None = Field(description="Position in `calls`; a parent stands before its children.")
    depth: int
    self_us: int = Field(description="Kernels of the call itself.")
    total_us: int = Field(description="The same, with all calls below.")
    share: float = Field(description="`total_us` of all kernels' time, 0 to 1.")
    median_us: float = Field(description="Median of the total by run.")
    spread_us: float = Field(description="Interquartile range of the total by run.")
    typical_us: float = Field(
        description="Sum of the medians of its kernels by run, those of calls below included: adds up over the tree, and "
        "what interrupts another kernel in each run does not count, as it does in `median_us`."
    )
    self_typical_us: float = Field(description="The same of its own kernels.")
    kernels: int = Field(description="Nodes of the executed graph, those of calls below included.")
    own_kernels: int
    spanning_us: int = Field(description="Part of `self_us` in fused nodes that stand for several calls.")
    peak_memory_bytes: int | None = Field(
        default=None,
        description="Largest memory in use while one of its kernels ran; null where the profile does not say.",
    )


class Settings(Record):
    """How ONNX Runtime ran."""

    onnxruntime: str = Field(default="", description="Version; empty for a profile taken elsewhere.")
    providers: list[str] = Field(default_factory=list)
    optimization: str = Field(default="", description="disable, basic, extended or all.")
    threads: int = Field(default=0, description="Within an operator; 0 is ONNX Runtime's own choice.")
    warmup: int = Field(default=0, description="Runs before the measured ones, which are left out.")


class Profile(Record):
    """Time by module call of one model. `kernels_us` is exactly the sum of all `self_us` and `unattributed_us`."""

    schema_version: str = PROFILE_VERSION
    model: str
    settings: Settings
    runs: int = Field(description="Measured runs; every time but medians is a sum over them.")
    runs_us: list[int] = Field(description="Time of each run, profiling included.")
    kernels_us: int = Field(description="Time of all kernels; those in bodies count once.")
    kernels_median_us: float = Field(description="Median of the kernels' time by run.")
    typical_us: float = Field(description="Sum of the kernels' medians by run.")
    kernels_spread_us: float = Field(description="Its interquartile range.")
    unattributed_us: int
    calls: list[CallTime]
    kernels: list[Kernel] = Field(description="In the order in which they first ran.")
    roots: list[int] = Field(
        default_factory=list, description="Positions of the calls that were asked for; empty for all."
    )
    notes: list[str] = Field(default_factory=list, description="What a reader must know, in sentences.")

    def unattributed(self) -> list[Kernel]:
        """Return the kernels that no call is known for."""
        return [kernel for kernel in self.kernels if kernel.call is None]

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Read a profile that was saved as JSON.

        Raises:
            HxError: HX307 if the file cannot be read or is no profile.
        """
        path = Path(path)
        try:
            profile = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise _no_profile(path, error.strerror or str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _no_profile(path, f"{where}: {first['msg']}" if where else first["msg"]) from error
        if profile.schema_version.partition(".")[0] != PROFILE_VERSION.partition(".")[0]:
            raise _no_profile(path, f"its version is {profile.schema_version!r}, not {PROFILE_VERSION!r}")
        return profile


def _no_profile(path: Path, reason: str) -> HxError:
    return HxError(
        f"Profile {str(path)!r} cannot be read: {reason}.",
        code="HX307",
        hint="Name a file that `hx profile X.onnx --json` printed.",
    )
