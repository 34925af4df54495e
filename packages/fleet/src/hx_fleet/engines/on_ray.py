"""Units as tasks of a Ray cluster: a task gives its unit to a fork server of its node, and waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hx_fleet._units import RunFolder, Unit, finish
from hx_fleet.engines.fork_server import ForkServerProcess
from hx_sidecar_schema import HxError, first_line

LOCAL = "local"
AT_ONCE = 1000
"""Tasks that Ray is given at once; it runs as many of them as it has processors."""
WAIT_S = 1.0
CONNECT_S = 10.0
servers: dict[tuple[str, int], ForkServerProcess] = {}
"""Of this process, which Ray gives one task after the other: each run's modules are imported once."""


def run_on_ray(
    units: Sequence[Unit], folder: RunFolder, *, workers: int | None, threads: int, address: str
) -> Generator[tuple[Unit | None, list[Unit]]]:
    """Run units on a cluster; yield each that is done, and None now and then between. The folder must be seen by all nodes.

    A task whose process or node is lost is given to another, as often as the unit may be tried again. Closing the iterator
    leaves the cluster, which ends what runs.

    Raises:
        HxError: HX216 if Ray is not installed; HX419 if there is no cluster at the address, or none of its nodes has what a unit needs.
    """
    ray = _ray()
    try:
        _connect(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, OverflowError, RuntimeError, ray.exceptions.RayError) as error:
        message = f"No Ray cluster is reached at {address!r}: {first_line(error).rstrip('.')}."
        raise HxError(message, code="HX419", hint="Start one with `ray start --head`.", argument="ray") from error
    try:
        task = ray.remote(run_unit)
        _check_room(ray.nodes(), units[0], threads)
        pending = list(reversed(units))
        tasks: dict[Any, Unit] = {}
        while pending or tasks:
            while pending and len(tasks) < (workers or AT_ONCE):
                unit = pending.pop()
                needs: dict[str, Any] = {"num_cpus": threads, "max_retries": unit.retries}
                if unit.memory_bytes is not None:
                    needs["memory"] = unit.memory_bytes
                tasks[task.options(**needs).remote(unit.to_json(), str(folder.path), threads)] = unit
            ready, _ = ray.wait(list(tasks), num_returns=1, timeout=WAIT_S)
            for reference in ready:
                unit = tasks.pop(reference)
                _settle(ray, reference, unit, folder)
                yield unit, []
            if not ready:
                yield None, []
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    """Raise OSError, or OverflowError for no port, where nobody answers at HOST:PORT: Ray tries that for many minutes (2.60)."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()


def run_unit(text: str, folder: str, threads: int) -> None:
    """Run one unit: what a task does, in a process of Ray's."""
    unit = Unit.from_json(text)
    key = folder, threads
    if key not in servers:
        servers[key] = ForkServerProcess(RunFolder(Path(folder)), threads)
    servers[key].give(unit)
    while unit not in servers[key].done(WAIT_S):
        pass


def _check_room(nodes: Sequence[dict[str, Any]], unit: Unit, threads: int) -> None:
    """Stop where no node can ever take a unit: Ray would wait for one."""
    needs = {"CPU": threads, "memory": unit.memory_bytes or 0}
    has = [{name: node["Resources"].get(name, 0) for name in needs} for node in nodes if node["Alive"]]
    if not any(all(node[name] >= amount for name, amount in needs.items()) for node in has):
        message = f"No node of the cluster has {threads} processors and {needs['memory']} bytes; they have {has}."
        raise HxError(
            message, code="HX419", hint="Ask for fewer `threads` or less `memory_bytes`.", argument="memory_bytes"
        )


def _settle(ray: Any, reference: Any, unit: Unit, folder: RunFolder) -> None:
    """Write the result of a unit whose task was lost too often."""
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError:  # raised in a task: a defect of hx
        raise
    except ray.exceptions.RayError as error:
        kind = "memory" if isinstance(error, ray.exceptions.OutOfMemoryError) else "crash"
        with folder.held(unit.id, wait=True):
            if not folder.result(unit.id).exists():
                finish(unit, folder, (kind, first_line(error, with_type=True)))


def _ray() -> Any:
    # Read when Ray is imported (2.60): under `uv run` it would copy the current folder to its workers and run `uv` there; nodes have their packages.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        hint = "Run `pip install 'hx-fleet[ray]'`."
        raise HxError("ray is not installed.", code="HX216", hint=hint, argument="ray") from error
