"""What all trackers have in common: a run's files are read, brought into a service by a thread of
its own, and how far that went is noted beside them."""
