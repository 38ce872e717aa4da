"""Task, membership, channel and count penalty: what both engines, metrics and audit agree on.

The core knows numpy arrays alone: no torch, no tables, no estimator.
"""
