"""Example inputs and their dynamic axes.

Read `example` first: inputs that are given (`file` reads them) are bound to `forward()`; others are generated: `generate`
tries `candidates`, whose shapes come from `config_sizes`. `arguments` names the tensors among a module's arguments and
records them, and `dynamic_axes` their axes.
"""
