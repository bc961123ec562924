"""A sweep on a terminal: while it runs, at its end, and whenever somebody asks."""
