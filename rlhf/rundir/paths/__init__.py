"""The directories of a path."""
