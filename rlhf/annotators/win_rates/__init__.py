"""Win rates of a policy over a baseline: their statistics, and how they are measured."""
