"""What every function returns, and `--json` prints: API, like the schema of sidecars."""
