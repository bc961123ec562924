"""The Lightning modules of the stages, and the parts of an online algorithm: advantage, trust
region."""
