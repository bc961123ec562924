"""Engines that draw responses from a policy."""
