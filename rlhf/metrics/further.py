"""Metrics that no screen singles out: other estimates of the KL, losses, counts, the oracle's."""

from __future__ import annotations

from rlhf.metrics.metric import Better, Metric

_ESTIMATES = (  # of the KL to SFT beside k1's
    ("k2", "by k2: half of the squared log-ratios"),
    ("k3", "by k3: never negative, less noise near the reference"),
    ("exact", "exact at each sampled prefix, summed over the vocabulary"),
)
_UNITS = (("sequence_nats", "nats per response"), ("token_nats", "nats per token"))
_ROWS: tuple[tuple[str, str, str, Better], ...] = (
    ("kl/log_ratio_clipped", "Share of tokens whose log-ratio is clamped in k3", "", "less"),
    ("kl/moving_reference_nats", "KL to a reference that moves", "nats per response", None),
    ("kl/penalty_nats", "KL as the penalty estimates it", "nats per response", None),
    ("kl/target_sequence_nats", "KL that the controller steers to", "nats per response", None),
    ("kl/target_token_nats", "KL that the controller steers to", "nats per token", None),
    ("kl/error_sequence_nats", "KL less the controller's target", "nats per response", None),
    ("kl/error_token_nats", "KL less the controller's target", "nats per token", None),
    ("oracle/objective", "Objective of the policy, J", "reward", "more"),
    ("oracle/optimum", "Objective of the best policy, J*", "reward", None),
    ("oracle/reference", "Objective of the reference: its reward", "reward", None),
    ("oracle/gap", "J* less J", "reward", "less"),
    ("oracle/share_of_gain", "(J - J of the reference) / (J* - J of the reference)", "", "more"),
    ("oracle/reward", "Expected reward of the policy", "reward", "more"),
    ("oracle/kl", "KL of the policy", "nats per response", None),
    ("oracle/entropy", "Entropy of the policy", "nats per response", None),
    ("oracle/optimum_reward", "Expected reward of the best policy", "reward", None),
    ("oracle/optimum_kl", "KL of the best policy", "nats per response", None),
    ("oracle/missing_at_kl", "Reward that the best policy of this KL has more", "reward", "less"),
    ("ppo/entropy", "Entropy that the loss descends", "nats per token", None),
    ("ppo/kept_score", "Mean score of the responses that are learned", "", "more"),
    ("ppo/kl_loss", "KL term of the loss, mean over the steps", "", None),
    ("ppo/policy_loss", "Policy loss, mean over the steps", "", None),
    ("ppo/value_loss", "Value loss, mean over the steps", "", "less"),
    ("ppo/score_clipped", "Share of scores that a rule or reward_clip changed", "", "less"),
    ("ppo/shaped_reward", "Score less the penalty, of a response", "reward", "more"),
    ("reward_model/accuracy", "Accuracy of the reward model on held-out pairs", "", "more"),
    ("rollout/empty", "Responses whose first token is EOS", "", "less"),
    ("rollout/equal_rewards", "1 where all rewards of the rollout are equal", "", "less"),
    ("rollout/huge_rewards", "Rewards beside which float32 loses a nat of KL", "", "less"),
    ("rollout/logp_off", "1 where the log-probability gap is beyond rounding", "", "less"),
    ("rollout/nonfinite", "Responses left out for a NaN or an infinity", "", "less"),
    ("rollout/responses", "Responses of the rollout", "", None),
    ("sft/reward/gold", "Gold reward of the SFT policy", "", "more"),
    ("sft/reward/proxy", "Proxy reward of the SFT policy", "", "more"),
    ("sft/perplexity", "Perplexity of the SFT policy on held-out rows", "", "less"),
    ("train/accuracy", "Accuracy of the reward model in training", "", "more"),
    ("trust_region/coef", "Coefficient of the local KL", "", None),
    (
        "trust_region/kl",
        "Local KL, old policy to policy, in the last inner epoch",
        "nats per token",
        None,
    ),
    ("trust_region/kl_after", "Local KL after the last step", "nats per token", None),
    ("val/calibration_error", "Calibration error of the reward model", "", "less"),
    ("val/pairs", "Held-out pairs", "", None),
)
FURTHER = (
    *(
        Metric(name=f"kl/{unit}_{estimate}", title=f"KL to SFT {how}", unit=words)
        for estimate, how in _ESTIMATES
        for unit, words in _UNITS
    ),
    *(
        Metric(name=name, title=title, unit=unit, better=better)
        for name, title, unit, better in _ROWS
    ),
)
