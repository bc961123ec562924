"""The modules that learn from labelled rows: SFT and the reward model."""
