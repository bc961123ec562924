"""Reward along KL: a run's reading at a KL, settings compared there, and the forms of Gao et al.
through a run's way."""
