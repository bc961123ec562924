"""The labelled rows that an algorithm learns from beside prompts (`learns_from`)."""
