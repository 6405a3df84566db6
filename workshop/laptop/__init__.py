"""What this laptop needs for the demo, the tests and the benchmarks."""
