"""One folder from which Pis are installed where no internet is: made, signed, verified, taken by a Pi."""
