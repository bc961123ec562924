"""Subcommands about the machine, the data and the settings, before anything is trained."""
