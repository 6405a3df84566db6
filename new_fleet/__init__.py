"""A first inventory out of five answers: `make fleet`."""
