"""From turns to ids: one template a run, the same for demonstrations, preferences and prompts, and
kept with the model."""
