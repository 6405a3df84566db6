"""One Pi's container in this terminal: `make shell` and `make logs`."""
