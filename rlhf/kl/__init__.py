"""The global KL: how strong (`coef`, `controller`), how estimated, where it acts, distance from
whom. `penalty.KLPenalty` composes them.

Nothing is imported here: `rules` and `controller` must load without torch.
"""
