"""SFT, reward model, PPO: how each stage is trained, kept as an artifact and found again by its
fingerprint."""
