"""What the tracer saw of a run in PyTorch."""

from __future__ import annotations

from hx_sidecar_schema import Observation


def computed(observation: Observation) -> Observation:
    """Return an observation without the tensors that the model was given: its inputs, its parameters."""
    rows = [row for row, operation in enumerate(observation.operations) if operation.call is not None]
    place = {row: index for index, row in enumerate(rows)}
    operations = [
        observation.operations[row].model_copy(
            update={"reads": [place[read] for read in observation.operations[row].reads if read in place]}
        )
        for row in rows
    ]
    return observation.model_copy(update={"operations": operations})
