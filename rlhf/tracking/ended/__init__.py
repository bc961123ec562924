"""Runs that have ended before the services that they are tracked in had all of them."""
