"""A command that is right: what it starts, and what it says of it."""
