"""Which part of a network is trained, and what of a forward pass is kept for it."""
