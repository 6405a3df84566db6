"""Cuts of power, played with PostgreSQL on a disk that loses what was not flushed."""

import plugins.project_imports  # noqa: F401
