"""Pieces that other installed packages bring (entry points of the group `rlhf.plugins`), and the
folders that config groups are read from. Stdlib only, so that anything of the config may ask."""

from rlhf.config.plugins.plugin import Plugin

__all__ = ["Plugin"]
