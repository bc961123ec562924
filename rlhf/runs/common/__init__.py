"""What the jobs of a sweep have in common: made once by the server that they are forked from."""
