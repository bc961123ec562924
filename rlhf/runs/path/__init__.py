"""The points of a path as runs: their configs, their directories, and paths that go on from them.

A point is the path cut short: its config, run by itself, gives the same bytes.
"""
