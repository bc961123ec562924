"""The Lightning modules, one an algorithm."""
