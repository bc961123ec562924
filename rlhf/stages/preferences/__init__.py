"""The preference pairs that stages learn from: the data's own, or sampled from the SFT policy; and
who labels them."""
