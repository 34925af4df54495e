"""Modules from what names them.

Read `spec` first: a Hub id or folder is loaded by transformers, a `factory` is called, and `tiny` builds a small model of
an architecture: `shrink` and `shrink_counts` make its configuration small (`attribute_kinds` says what an attribute is),
and its weights become unequal. `implementations` chooses how attention and experts are computed, and `records` writes the
tree of modules down.
"""
