"""Starting Model Explorer on files that were written for it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hx_sidecar_schema import HxError
from hx_viewer.model_explorer.files import GRAPH, MAPPING


def check_model_explorer() -> None:
    """Stop where Model Explorer is not installed.

    Raises:
        HxError: HX214.
    """
    if find_spec("model_explorer") is None:
        message = "Model Explorer is not installed."
        raise HxError(message, code="HX214", hint="Install it: `pip install ai-edge-model-explorer`.")


def start_model_explorer(folder: Path, names: list[str]) -> None:
    """Show files of `model_explorer_files` in the browser, all node data with them; return when the user stops the server.

    Args:
        folder: Where the files lie.
        names: Those of them to show. A mapping of two graphs is left out: Model Explorer takes one in its page only.

    Raises:
        HxError: HX214 if Model Explorer is not installed.
    """
    check_model_explorer()
    # `builtin_json` is told by name: an installed model-explorer-onnx would take .json files for its own.
    config = import_module("model_explorer.config").ModelExplorerConfig()
    config.add_model_from_path(str(folder / GRAPH), adapterId="builtin_json")
    for name in names:
        if name not in (GRAPH, MAPPING):
            config.add_node_data_from_path(str(folder / name))
    with redirect_stdout(sys.stderr):  # where the server is, and how to stop it
        import_module("model_explorer.server").start(config=config)
