"""Benchmarks, each a module that `python -m workshop.bench.<name>` runs; results go to build/bench/<name>.json."""

import plugins.project_imports  # noqa: F401
