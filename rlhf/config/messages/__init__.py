"""A fault of a config in words: what was expected, and the nearest valid choice."""
