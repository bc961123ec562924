"""Problems whose every response can be listed, drawn by a rule; how well they tell coefficients
apart; and what each algorithm reaches there beside exact gradient ascent."""
