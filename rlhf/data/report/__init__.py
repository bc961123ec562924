"""What is in the data, before anything is trained: one value, drawn on the screen, as JSON and as
markdown."""
