"""What `hx.tree` returns and `hx tree --json` prints: records of `hx_extractor`."""

from hx_extractor import TreeEntry, TreeReport

__all__ = ["TreeEntry", "TreeReport"]
