"""A folder with both exports of a model and all that a maintainer asks for."""
