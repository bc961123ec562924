"""A model's files: whether they can be loaded, are whole, and go together."""
