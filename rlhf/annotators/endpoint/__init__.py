"""A chat endpoint over HTTP: its requests, their limits, and its answers on disk. Knows the
standard library only."""
