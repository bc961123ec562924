"""Responses: drawn, read by the models, scored, evaluated."""
