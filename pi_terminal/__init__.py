"""One Pi in this terminal: `make shell`, `make logs` and `make watch`."""
