#!/usr/bin/env bash
# transformers 4.57, the other supported generation, in an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
for package in sidecar-schema graph tracer projector extractor profiler viewer surgery hx cli; do packages+=(--with-editable "packages/$package"); done
uv run --isolated --no-project --python 3.11 "${packages[@]}" \
  --with "hx-projector[ort] @ file://$PWD/packages/projector" --with "onnxruntime==1.31.1" \
  --with "transformers==4.57.*" --with "torch==2.13.0" --with pytest \
  pytest tests/test_both_generations.py "$@"
