"""The algorithms of conf/algorithm: a loss each, on the modules above."""
