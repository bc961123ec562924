"""Subcommands that read the results of runs."""
