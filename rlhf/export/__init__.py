"""Models for others: what a directory holds, its model card, and an ordinary Hugging Face directory
that was read back in a process without us."""
