"""Metrics: one a file, pure functions of features; `features.py` holds the extractors, `judges/` their
weights.
"""
