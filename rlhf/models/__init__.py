"""Hugging Face models as policies, reward models and value models."""
