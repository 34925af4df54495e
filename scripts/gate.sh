#!/usr/bin/env bash
# The gate: what a person runs before a push is what CI runs.
set -euo pipefail
cd "$(dirname "$0")/.."
uv run ruff format --check
uv run ruff check
uv run pyright
uv run lint-imports
uv run --group docs zensical build --strict --clean
uv run pytest -n 2 --dist loadfile "$@"
