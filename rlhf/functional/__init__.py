"""Pure functions of tensors. Masks are boolean, True = counts; shapes are [B, T] (responses,
response tokens) unless said."""
