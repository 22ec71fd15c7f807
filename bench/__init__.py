"""Measurements: how each figure in docs/benchmarks.md is made. The product never imports this package."""
