"""Work at the boundary of an iteration: records, checkpoints, progress, exact answers."""
