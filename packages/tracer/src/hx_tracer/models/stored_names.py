"""Names of weights in checkpoints, where these are other than in the module."""

import sys
from importlib.util import find_spec
from typing import Any

import torch


def stored_names(module: torch.nn.Module) -> dict[str, str]:
    """Return the names under which `save_pretrained` writes parameters and buffers of a transformers model, where they differ.

    transformers 5 renames modules and keeps the names of checkpoints that exist. Weights that it splits or puts together
    when it writes them are left out: they have no one name.
    """
    library = sys.modules.get("transformers.modeling_utils")  # what is no model of it does not import it
    if (
        library is None
        or not isinstance(module, library.PreTrainedModel)
        or find_spec("transformers.core_model_loading") is None  # transformers 4 has the names of the checkpoints
    ):
        return {}
    from transformers.core_model_loading import revert_weight_conversion

    model: Any = module
    shapes = {name: torch.empty_like(value, device="meta") for name, value in module.state_dict().items()}
    names = {id(value): name for name, value in shapes.items()}
    stored = {
        names[id(value)]: name for name, value in revert_weight_conversion(model, shapes).items() if id(value) in names
    }
    return {name: other for name, other in stored.items() if other != name}
