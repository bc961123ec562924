"""Whole frontiers, and what each way to one costs: independent runs at each coefficient, a path
through the coefficients, and one policy realigned at decoding or in its weights.

`exact` is about problems whose best policies are known, `sampled` about text. `matched` says how
far a policy is above or below the independent runs' curve at its own KL.
"""
