"""The win rates of evaluations: what a run's policy is compared with, and by whom."""
