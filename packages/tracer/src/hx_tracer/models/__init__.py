"""Modules from what names them.

Read `spec` first: a Hub id or folder is loaded by transformers, a `factory` is called, and `tiny` builds a small model of
an architecture: `shrink` makes its configuration small (`attribute_kinds` says what an attribute is; `shrink_counts` and
`shrink_widths` change it), and its weights become unequal. `implementations` chooses how attention and experts are
computed, and `records` writes the tree of modules down.
"""
