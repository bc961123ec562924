"""A sweep: its jobs, who launches them, how they stand, and the searches that choose them by
results."""
