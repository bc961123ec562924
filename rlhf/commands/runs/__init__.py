"""Subcommands that make, list and remove runs."""
