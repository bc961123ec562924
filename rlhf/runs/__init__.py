"""One run, whole: its stages in order, its directory, its tracker, its summary."""
