"""Measures the costs of imgassemble beside the alternatives of a user: `python -m benchmarks`."""
