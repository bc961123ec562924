"""What is secret: where it comes from, and how it is kept out of files."""
