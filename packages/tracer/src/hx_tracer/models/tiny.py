"""Small models of any architecture with random weights: its default configuration, shrunk, built and tried."""

import difflib
import logging
from collections.abc import Sequence
from typing import Any

import torch

from hx_sidecar_schema import HxError, first_line
from hx_tracer.inputs.config_sizes import configs
from hx_tracer.inputs.generate import float_dtype, generate
from hx_tracer.models.shrink import PLANS, Plan, shrink
from hx_tracer.models.silence import silence_loading

_logger = logging.getLogger(__name__)
_MAX_PARAMETERS = 21_000_000
_RELATIVE = 0.1
_ABSOLUTE = 0.02
_LARGEST = 1e4


def tiny_model(arch: str, seed: int, auto_classes: Sequence[Any]) -> torch.nn.Module:
    """Build a small model of an architecture, in eval mode, that runs on the inputs generated for it.

    The first of the auto classes that knows the architecture picks the model class. The same seed gives the same weights
    on the same versions.

    Raises:
        HxError: HX102 for an unknown architecture, HX107 where no shrunk configuration builds and runs.
    """
    from transformers import CONFIG_MAPPING

    known = list(CONFIG_MAPPING.keys())
    if arch not in known:
        near = difflib.get_close_matches(arch, known, n=3, cutoff=0.0)
        raise HxError(
            f"Architecture {arch!r} is not known to transformers; closest: {', '.join(near)}.",
            code="HX102",
            hint="Use a `model_type` of the installed transformers version.",
        )
    reasons: list[str] = []
    with silence_loading():
        for plan in PLANS:
            try:
                module = _built(arch, plan, seed, auto_classes)
                generate(module, float_dtype(module), seed)
            except Exception as error:  # noqa: BLE001 a plan that does not fit fails anywhere in the model's code; reported
                reasons.append(first_line(error, with_type=not isinstance(error, HxError)))
                _logger.debug("Plan %s does not fit %s: %s", plan, arch, reasons[-1])
                continue
            return module
    raise HxError(
        f"No tiny model of {arch!r} builds and runs: {reasons[0]!r}.",
        code="HX107",
        hint="Give a factory (`file.py:factory`) that builds a small model of it.",
    )


def architectures() -> list[str]:
    """Return the names of the architectures for which transformers has a model class, sorted: `tiny:ARCH` of them may build."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return sorted(MODEL_MAPPING_NAMES)


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Add seeded noise to every float parameter and to running statistics, in place.

    A fresh model has many equal tensors: ones in normalisations, zero biases, zero class tokens. The noise has a
    standard deviation of 0.1 times the parameter's root mean square plus 0.02. A parameter whose root mean square is not
    below 1e4, as of memory that construction left unset, becomes noise alone. Running variances stay positive.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float32)

    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.is_floating_point() or not parameter.numel():
                continue
            value = parameter.detach().float()
            size = float(value.square().mean().sqrt())
            if not size < _LARGEST:
                value, size = torch.zeros_like(value), 0.0
            parameter.copy_(value + noise(value) * (_RELATIVE * size + _ABSOLUTE))
        for name, buffer in module.named_buffers():
            last = name.rpartition(".")[2]
            if last == "running_mean":
                buffer.add_((noise(buffer) * _RELATIVE).to(buffer.dtype))
            elif last == "running_var":
                buffer.mul_((1 + _RELATIVE * noise(buffer)).clamp(0.5, 1.5).to(buffer.dtype))


def disable_cache(config: Any) -> None:
    """Set `use_cache` to False in a configuration and its sub-configurations, where they have it."""
    for one in configs(config):
        if getattr(one, "use_cache", None):
            one.use_cache = False


def auto_class_for(classes: Sequence[Any], config: Any) -> Any:
    """Return the first auto class that has a model for a configuration; without one, the first, which then raises."""
    return next((c for c in classes if type(config) in c._model_mapping), classes[0])


def _built(arch: str, plan: Plan, seed: int, auto_classes: Sequence[Any]) -> torch.nn.Module:
    from transformers import AutoConfig

    config = AutoConfig.for_model(arch)
    auto_class = auto_class_for(auto_classes, config)
    shrink(config, plan)
    disable_cache(config)
    with torch.device("meta"):
        count = _count_on_meta(auto_class, config)
    if count is not None and count > _MAX_PARAMETERS:
        raise ValueError(f"{count} parameters after shrinking, more than {_MAX_PARAMETERS}")
    if count is None and plan.widths == "keep":
        raise ValueError("the number of parameters is not known before building, and widths are not shrunk")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: torch.nn.Module = auto_class.from_config(config)
    randomize(module, seed)
    return module.float().eval()


def _count_on_meta(auto_class: Any, config: Any) -> int | None:
    """Return the number of parameters; None for a model whose construction needs real memory."""
    try:
        return sum(p.numel() for p in auto_class.from_config(config).parameters())
    except Exception as error:  # noqa: BLE001 construction that reads values fails on meta; the real one decides
        _logger.debug("Not countable on meta: %s", first_line(error))
        return None
