"""Many models through many steps, as one run that resumes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hx._progress import Progress, silent
from hx.records.fleet import FleetReport, FleetRun
from hx_sidecar_schema import HxError


def fleet(
    run: str | Path | Mapping[str, Any] | FleetRun,
    output: str | Path | None = None,
    *,
    workers: int | None = None,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    baseline: str | Path | None = None,
    only: str | None = None,
    shard: str | None = None,
    fail_fast: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
    progress: Progress = silent,
) -> FleetReport:
    """Take many models through steps such as `export` and `verify`, each in a process of its own with limits, and resume where it was.

    The folder of a run holds `steps.parquet`, a row for each model and step; `calls.parquet`, a row for each module call;
    `summary.html`; and by model `results`, `artefacts` and `logs`. A model's result is written once, whole. Called again, what has
    a result is not run again, whatever ended the last start.

    Examples:
        >>> import torch, hx
        >>> _ = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), "linear.onnx", overwrite=True)
        >>> run = {"models": ["linear.onnx"], "steps": ["validate", "extract"]}
        >>> hx.fleet(run, "run").statuses
        {'validate': {'passed': 1}, 'extract': {'passed': 1}}
        >>> hx.fleet(run, "run").resumed
        1

    Args:
        run: A RUN.toml, or its fields; see `hx.records.fleet.FleetRun`. In Python a model may also be a `Path` or a `ModelSpec`. Paths in a file start from its folder.
        output: The run's folder; None for the name of the file without `.toml`, else `fleet`, in the current folder.
        workers: Models at once; None for what `run` says. `timeout_s` and `memory_bytes` likewise.
        timeout_s: Wall time of one model.
        memory_bytes: Of one model's process.
        baseline: The folder of an earlier run: `changes` tells which modules are other in form, numbers or time.
        only: `failed`: run those again of which a step failed.
        shard: `i/n`: every n-th model from the i-th on, for as many machines. Copied into one folder, the results of all shards
            are the whole run's: called once more without a shard, it writes the data set of all.
        fail_fast: Stop at the first model of which a step failed; what runs then has no result, and is left.
        overwrite: Begin anew: the results of the run that `output` holds are removed.
        ray: Run on the Ray cluster at this address: `auto` for the one that runs here, `local` for one of this call's own. Its nodes
            must see the run's folder and the models under the same paths, and have the same packages.
        progress: Told what goes on.

    Returns:
        What became of the models, and failures by kind; the fields are told in `hx.records.fleet`.

    Raises:
        HxError: HX216 if `hx_fleet` or `ray` is not installed; HX419 if no cluster is reached; HX405 or HX406 if models, steps or options are not what they must be; HX417 if
            the folder holds another thing, a run of other versions, or a result that is cut off, or if `baseline` is no run, this run, or one of other models; HX418 if another process runs
            it; HX306 if the folder cannot be written, or the disk is full.
    """
    try:
        run_fleet = import_module("hx_fleet").run_fleet  # it stands on this package, and is an extra of it
    except ModuleNotFoundError as error:
        if error.name not in ("hx_fleet", "pyarrow"):
            raise
        hint = "Run `pip install 'hx-onnx[fleet]'`."
        raise HxError(f"{error.name} is not installed.", code="HX216", hint=hint) from error
    return run_fleet(
        run,
        output,
        baseline=baseline,
        only=only,
        shard=shard,
        fail_fast=fail_fast,
        overwrite=overwrite,
        ray=ray,
        progress=progress,
        workers=workers,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
