"""Responses: drawn, read by the models, scored, evaluated, cut into minibatches."""
