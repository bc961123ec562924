"""What has changed in the keys of the config since version 0.1."""

from __future__ import annotations

# Refused with today's name.
MOVED = {
    "ppo.eval_every": "evaluation.every",
    "ppo.eval_prompts": "evaluation.prompts",
    "ppo.eval_samples": "evaluation.samples",
    "ppo.missing_eos": "scorer.missing_eos",
    "ppo.missing_eos_value": "scorer.missing_eos_value",
    "ppo.reward_clip": "scorer.reward_clip",
    "ppo.whiten_rewards": "advantage.whiten_rewards",
}

# Pieces that a config of before could not choose, and did not name.
IMPLIED = {"algorithm": "ppo", "advantage": "gae"}
