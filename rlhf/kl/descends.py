"""Which divergence the penalty's gradient descends: one sentence for each estimator and placement.
Torch-free.

For tokens drawn from pi, with gamma = lam = 1, nothing whitened or clipped,
aggregation=sequence_sum. d = logp - ref_logp of a token, D = sum_t d_t of a response, "KL" is KL(pi
|| ref), "forward KL" is KL(ref || pi). The gradient is
    in the reward      E[sum_t (sum_{s>=t} kl_s) grad logp_t]      the score-function part of
    E[sum_t kl_t] in the loss        E[sum_t grad kl_t]                          each token by
    itself: the KL that it causes later is dropped in both            the sum of the two
    sequence_loss      E[grad kl(D)]                               a response is one draw: nothing
    is dropped
"Exactly" says that the tests (tests/kl/test_gradients.py, tests/modules/test_exact.py) hold it by
enumeration. Off policy see `placement`.
"""

from __future__ import annotations

TEXTS: dict[tuple[str, str], str] = {
    ("k1", "reward"): "the sequence KL, exactly",
    ("exact", "both"): "the sequence KL, exactly, with less variance than k1 in the reward",
    ("k2", "sequence_loss"): "the sequence KL, exactly",
    (
        "k3",
        "sequence_loss",
    ): "the forward KL of the sequences, exactly where D >= -20 (k3 is clamped below)",
    ("abs", "sequence_loss"): "twice the total variation of the sequences",
    ("k2", "loss"): "the KL of each token, without the KL that it causes later",
    ("k3", "loss"): "the forward KL of each token, without what it causes later",
    ("abs", "loss"): "twice the total variation of each token, without what it causes later",
    ("k1_clamped", "reward"): "no divergence: the score-function part of E[sum_t max(d, 0)]",
    (
        "k2",
        "reward",
    ): "no divergence: the score-function part of E[sum_t d²/2], weak near the reference",
    (
        "k3",
        "reward",
    ): "no divergence: near the KL minus the forward KL, so almost nothing near the reference",
    ("abs", "reward"): "no divergence: the score-function part of E[sum_t |d|]",
}
UNKNOWN = "not known: a piece of the user's own"


def descends(estimator: str, placement: str) -> str:
    """Names as in YAML: k2, sequence_loss."""
    return TEXTS.get((estimator, placement), UNKNOWN)
