"""A KL controller with a dead band, as a plugin of rlhf."""
