"""Sweepers that choose the next jobs by the results of the last ones."""
