"""A run's directory: its files, its state, and how it may end."""
