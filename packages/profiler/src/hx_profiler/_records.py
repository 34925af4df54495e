"""The records of a profile: time by module call and by kernel. They are a file format, like the sidecar."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from hx_sidecar_schema import HxError, Record, Table, listed

PROFILE_VERSION = "1.2"
ROWS_IN_NOTEBOOKS = 60


class Kernel(Record):
    """The executions of one node of the executed graph, over all measured runs."""

    name: str = Field(description="As ONNX Runtime names it.")
    op_type: str
    provider: str = Field(description="Execution provider that ran it.")
    node: str | None = Field(description="`graph:output` in the executed graph; null where it is not in it.")
    call: int | None = Field(description="Position in `calls`; null where unattributed.")
    covers: list[int] = listed(
        "Positions of the calls that a fused node stands for, where there are several; `call` is the innermost "
        "call around them all."
    )
    confidence: str | None = Field(
        default=None, description="Confidence of the sidecar's row; null where unattributed."
    )
    reason: str = Field(default="", description="Why the kernel is unattributed, or which of several nodes it may be.")
    executions: int = Field(
        description="Number over all measured runs; a node in the body of a loop has several in one run."
    )
    self_us: int = Field(description="Time without that of kernels in the node's bodies.")
    total_us: int = Field(description="Time with that of kernels in the node's bodies.")
    median_us: float = Field(description="Median of `self_us` by run.")
    peak_memory_bytes: int | None = Field(
        default=None, description="Largest memory in use while it ran; null where the profile does not say."
    )


class CallTime(Record):
    """The time of one module call, over all measured runs."""

    fqn: str
    call: int = Field(description="Position among the calls of its module, from 0.")
    calls: int = Field(description="Number of calls of its module.")
    tag: str
    class_name: str
    parent: int | None = Field(description="Position in `calls`; a parent stands before its children.")
    depth: int = Field(description="Number of calls around it.")
    self_us: int = Field(description="Time of the kernels of the call itself.")
    total_us: int = Field(description="Time of these and of the kernels of all calls below.")
    share: float = Field(description="`total_us` as a share of the time of all kernels, 0 to 1.")
    median_us: float = Field(description="Median of the total by run.")
    spread_us: float = Field(description="Interquartile range of the total by run.")
    typical_us: float = Field(
        description="Sum of the medians by run of its kernels, those of calls below included. It adds up over the tree; "
        "unlike `median_us` it leaves out what interrupts another kernel in each run."
    )
    self_typical_us: float = Field(description="Sum of the medians by run of the kernels of the call itself.")
    kernels: int = Field(description="Number of nodes of the executed graph, those of calls below included.")
    own_kernels: int = Field(description="Number of nodes of the executed graph that are the call's own.")
    spanning_us: int = Field(description="Part of `self_us` that fused nodes took which stand for several calls.")
    peak_memory_bytes: int | None = Field(
        default=None,
        description="Largest memory in use while one of its kernels ran; null where the profile does not say.",
    )


class Settings(Record):
    """How ONNX Runtime ran the model."""

    onnxruntime: str = Field(default="", description="Version; empty for a profile taken elsewhere.")
    providers: list[str] = Field(default_factory=list)
    optimization: str = Field(default="", description="disable, basic, extended or all.")
    threads: int = Field(default=0, description="Threads within an operator; 0 is ONNX Runtime's own choice.")
    warmup: int = Field(default=0, description="Number of runs before the measured ones.")


class Profile(Record):
    """Time by module call of one model. `kernels_us` is exactly the sum of all `self_us` and `unattributed_us`."""

    schema_version: str = PROFILE_VERSION
    model: str
    graph_digest: str = Field(
        default="", description="`model.graph_digest` of the model's sidecar; empty in records of older versions."
    )
    settings: Settings
    runs: int = Field(description="Number of measured runs; every time that is no median is a sum over them.")
    runs_us: list[int] = Field(description="Time of each run, with that of profiling.")
    kernels_us: int = Field(description="Time of all kernels; that of kernels in bodies counts once.")
    kernels_median_us: float = Field(description="Median of the kernels' time by run.")
    typical_us: float = Field(description="Sum of the medians by run of all kernels.")
    kernels_spread_us: float = Field(description="Interquartile range of the kernels' time by run.")
    unattributed_us: int = Field(description="Time of the kernels that no call is known for.")
    calls: list[CallTime]
    kernels: list[Kernel] = Field(description="In the order in which they first ran.")
    roots: list[int] = listed("Positions of the calls that were asked for; empty for all.")
    notes: list[str] = listed("What a reader must know, in sentences.")

    def __str__(self) -> str:
        """Return one line a call that takes time, indented."""
        return self._table(len(self.calls)).to_text()

    def _table(self, limit: int = ROWS_IN_NOTEBOOKS) -> Table:
        timed = [call for call in self.calls if call.kernels]
        rows: list[tuple[object, ...]] = []
        for call in timed[:limit]:
            name = "    " * call.depth + call.tag.rsplit("/", 1)[-1]
            share = f"{100 * call.typical_us / (self.typical_us or 1):.1f} %"
            rows.append((name, call.fqn, call.typical_us, share, call.self_typical_us, call.kernels))
        return Table(
            f"{self.model}: {self.typical_us:.0f} us a run in {len(self.kernels)} kernels, {self.runs} runs",
            ("module", "name", "us", "share", "own us", "kernels"),
            rows,
            note=f"and {len(timed) - limit} more calls" if len(timed) > limit else "",
        )

    def unattributed(self) -> list[Kernel]:
        """Return the kernels that no call is known for."""
        return [kernel for kernel in self.kernels if kernel.call is None]

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Read a profile that was saved as JSON.

        Raises:
            HxError: HX307 if the file cannot be read or is no profile.
        """
        try:
            profile = cls.model_validate_json(Path(path).read_bytes())
            if profile.schema_version.partition(".")[0] != PROFILE_VERSION.partition(".")[0]:
                raise ValueError(f"its version is {profile.schema_version!r}, not {PROFILE_VERSION!r}")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            hint = "Name a file that holds the JSON of a profile."
            raise HxError(f"Profile {str(path)!r} cannot be read: {reason}.", code="HX307", hint=hint) from error
        return profile
