"""Suites of modules: `survey` finds the forms of models, `write` makes a case of each in the `layout` that runners load.

`parts` says what the parts of a model are, `cover` takes few forms instead of all, `folder` brings a folder up to date.
"""
