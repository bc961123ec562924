"""The screens of `rlhf config`."""
