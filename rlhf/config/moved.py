"""Keys that have another name since version 0.2: refused with today's."""

from __future__ import annotations

MOVED = {
    "ppo.eval_every": "evaluation.every",
    "ppo.eval_prompts": "evaluation.prompts",
    "ppo.eval_samples": "evaluation.samples",
    "ppo.missing_eos": "scorer.missing_eos",
    "ppo.missing_eos_value": "scorer.missing_eos_value",
    "ppo.reward_clip": "scorer.reward_clip",
    "ppo.whiten_rewards": "advantage.whiten_rewards",
}
