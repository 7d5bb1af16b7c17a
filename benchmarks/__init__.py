"""What imgassemble costs, beside what a user would do instead: `python -m benchmarks`."""
