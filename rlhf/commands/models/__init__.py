"""Subcommands that use a trained model."""
