"""Columns of the table of settings that some sweeps have."""
