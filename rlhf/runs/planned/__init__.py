"""What is known of the runs of a command before any of them is begun. No torch."""
