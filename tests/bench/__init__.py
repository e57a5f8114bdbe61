"""Benches, run on purpose: ``python -m tests.bench [names...]`` prints tables and keeps raw figures.

Speed is told as ratios between variants that take turns on one machine in one run; no test checks a time.
"""
