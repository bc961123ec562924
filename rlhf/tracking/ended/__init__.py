"""Runs that have ended before MLflow had all of them."""
