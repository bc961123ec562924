"""What a terminal shows while a sweep runs and at its end."""
