"""Hydra's part: from the words of a command line to plain values, each job composed once."""
