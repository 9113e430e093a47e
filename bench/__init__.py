"""Benchmarks: not part of what is installed, run by scripts/bench."""
