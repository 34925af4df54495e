"""Files that Model Explorer (ai-edge-model-explorer, tried with 0.1.34) loads: graphs, node data, a mapping of two graphs."""
