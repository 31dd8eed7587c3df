"""Timed claims: ``python -m benchmarks.NAME --json``. Nothing here runs in the tests."""
