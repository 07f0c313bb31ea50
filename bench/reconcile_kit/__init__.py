"""The pieces of `bench/reconcile.py`."""
