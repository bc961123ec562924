"""Metrics that no screen singles out: other estimates of the KL, losses, counts, the oracle's."""

from __future__ import annotations

from rlhf.metrics.metric import COUNT, NUMBER, PER_NAT, REWARD, SHARE, YES_NO, Better, Metric

_ESTIMATES = (  # of the KL to SFT beside k1's
    ("k2", "by k2: half of the squared log-ratios"),
    ("k3", "by k3: never negative, less noise near the reference"),
    ("exact", "exact at each sampled prefix, summed over the vocabulary"),
)
_UNITS = (("sequence_nats", "nats per response"), ("token_nats", "nats per token"))
_ROWS: tuple[tuple[str, str, str, Better], ...] = (
    ("kl/log_ratio_clipped", "Share of tokens whose log-ratio is clamped in k3", SHARE, "less"),
    ("kl/moving_reference_nats", "KL to a reference that moves", "nats per response", None),
    ("kl/penalty_nats", "KL as the penalty estimates it", "nats per response", None),
    ("kl/target_sequence_nats", "KL that the controller steers to", "nats per response", None),
    ("kl/target_token_nats", "KL that the controller steers to", "nats per token", None),
    ("kl/error_sequence_nats", "KL less the controller's target", "nats per response", None),
    ("kl/error_token_nats", "KL less the controller's target", "nats per token", None),
    # of a path: rollouts at its point; over the last `window` of them, the mean of the later half
    # less that of the earlier
    ("path/held", "Rollouts at the path's point", COUNT, None),
    ("path/kl_change", "Change of the KL", "nats per response", None),
    ("path/objective_change", "Change of score less coefficient times KL", REWARD, None),
    ("oracle/kl_to_optimum", "KL to the optimum", "nats per response", "less"),
    ("oracle/effective_beta", "Coefficient whose optimum has this KL", PER_NAT, None),
    ("oracle/objective", "Objective of the policy, J", REWARD, "more"),
    ("oracle/optimum", "Objective of the best policy, J*", REWARD, None),
    ("oracle/reference", "Objective of the reference: its reward", REWARD, None),
    ("oracle/gap", "J* less J", REWARD, "less"),
    ("oracle/share_of_gain", "(J - J of the reference) / (J* - J of the reference)", SHARE, "more"),
    ("oracle/reward", "Expected reward of the policy", REWARD, "more"),
    ("oracle/kl", "KL of the policy", "nats per response", None),
    ("oracle/entropy", "Entropy of the policy", "nats per response", None),
    ("oracle/optimum_reward", "Expected reward of the best policy", REWARD, None),
    ("oracle/optimum_kl", "KL of the best policy", "nats per response", None),
    ("oracle/missing_at_kl", "Reward that the best policy of this KL has more", REWARD, "less"),
    ("ppo/clip_fraction", "Clip fraction", SHARE, "less"),
    ("ppo/explained_variance", "Explained variance of the values", SHARE, "more"),
    ("ppo/log_ratio_max", "Largest log-ratio, new to old policy", "nats", "less"),
    ("ppo/entropy", "Entropy that the loss descends", "nats per token", None),
    ("ppo/kept_score", "Mean score of the responses that are learned", REWARD, "more"),
    ("ppo/kl_loss", "KL term of the loss, mean over the steps", NUMBER, None),
    ("ppo/policy_loss", "Policy loss, mean over the steps", NUMBER, None),
    ("ppo/value_loss", "Value loss, mean over the steps", NUMBER, "less"),
    ("ppo/score_clipped", "Share of scores that a rule or reward_clip changed", SHARE, "less"),
    ("ppo/shaped_reward", "Score less the penalty, of a response", REWARD, "more"),
    # of preference pairs that a policy learns from: implied rewards are beta (log pi - log ref)
    ("preference/loss", "Loss of the pairs", NUMBER, "less"),
    ("preference/accuracy", "Share of the pairs ranked right", SHARE, "more"),
    ("preference/margin", "Margin of the implied rewards", REWARD, None),
    ("preference/pairs", "Pairs learned from", COUNT, None),
    ("reward_model/accuracy", "Accuracy of the reward model on held-out pairs", SHARE, "more"),
    ("rollout/empty", "Responses whose first token is EOS", COUNT, "less"),
    ("rollout/equal_rewards", "1 where all rewards of the rollout are equal", YES_NO, "less"),
    ("rollout/huge_rewards", "Rewards beside which float32 loses a nat of KL", COUNT, "less"),
    (
        "rollout/logp_gap",
        "Largest gap between a token's log-probability at sampling and in training",
        "nats",
        "less",
    ),
    (
        "rollout/logp_gap_mean",
        "Mean gap between a token's log-probability at sampling and in training",
        "nats",
        "less",
    ),
    ("rollout/logp_off", "1 where the log-probability gap is beyond rounding", YES_NO, "less"),
    ("rollout/nonfinite", "Responses left out for a NaN or an infinity", COUNT, "less"),
    ("rollout/responses", "Responses of the rollout", COUNT, None),
    ("sft/reward/gold", "Gold reward of the SFT policy", REWARD, "more"),
    ("sft/reward/proxy", "Proxy reward of the SFT policy", REWARD, "more"),
    ("sft/perplexity", "Perplexity of the SFT policy on held-out rows", NUMBER, "less"),
    ("train/accuracy", "Accuracy of the reward model in training", SHARE, "more"),
    ("trust_region/coef", "Coefficient of the local KL", NUMBER, None),
    (
        "trust_region/kl",
        "Local KL, old policy to policy, in the last inner epoch",
        "nats per token",
        None,
    ),
    ("trust_region/kl_after", "Local KL after the last step", "nats per token", None),
    ("val/calibration_error", "Calibration error of the reward model", SHARE, "less"),
    ("val/loss", "Held-out loss", NUMBER, "less"),
    ("val/pairs", "Held-out pairs", COUNT, None),
)
_STEPS = (  # of an iteration's optimizer steps; norms are of before clipping
    ("lr", "Learning rate of the steps, mean"),
    ("grad_norm", "Gradient norm of the steps, mean"),
    ("grad_norm_max", "Gradient norm of the steps, largest"),
)
FURTHER = (
    *(
        Metric(name=f"{stage}/{name}", title=title, unit=NUMBER)
        for stage in ("ppo", "train")
        for name, title in _STEPS
    ),
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
