"""Annotators: who says which of two answers to a prompt is better, for labels and win rates."""
