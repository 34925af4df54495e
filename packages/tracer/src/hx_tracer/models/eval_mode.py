"""Eval mode, of modules that do not let their mode be set too."""

from __future__ import annotations

import torch


def set_eval_mode(module: torch.nn.Module) -> None:
    """Put a module in eval mode.

    A program of `torch.export` keeps the mode in which it was captured, and refuses (torch 2.13): there, and in whatever
    holds one, the flags alone are set.
    """
    try:
        module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False
