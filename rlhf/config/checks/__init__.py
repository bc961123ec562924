"""Checks of settings that stand in several sections: `rlhf.config.pairs` lists them."""
