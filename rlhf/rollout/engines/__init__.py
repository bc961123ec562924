"""Who draws responses from a policy."""
