"""From values to estimates, intervals and findings. Pure functions; nothing is drawn or written
here."""
