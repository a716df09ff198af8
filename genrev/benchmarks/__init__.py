"""Benchmarks: tasks whose forward process is known, and their figures."""
