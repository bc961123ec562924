"""Advantage estimates, by the names of conf/advantage."""

from rlhf.rollout.view import AdvantageSettings as GAE

__all__ = ["GAE"]
