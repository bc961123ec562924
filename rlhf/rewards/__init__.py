"""Rewards that a policy maximises beside the trained reward model and the data's gold: a user's
function, rules, a Hugging Face classifier, an ensemble of reward models, and sums and products."""
