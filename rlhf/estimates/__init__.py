"""What a run will need, from its config and its model's shape alone: memory, disk, responses, time.
Pure and without torch."""
