"""Cuts of power, played with PostgreSQL on a disk that loses what was not flushed."""
