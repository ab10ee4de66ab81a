"""What we measure, against whom: `python -m benchmarks`, or `make bench`."""
