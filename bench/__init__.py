"""Benchmarks, each a module that `python -m bench.<name>` runs; results go to build/bench/<name>.json."""
