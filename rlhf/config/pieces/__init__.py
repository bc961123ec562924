"""The leaves of the config, a file a group of `conf/`: what has a `_target_`.

A piece's fields are its class's keyword arguments. A class of the user's own is a `Custom` piece:
its arguments are not checked here, and its package must have been allowed (`rlhf.config.allow`).
All files are imported with the package: a class that no file has registered would have no name.
"""

from rlhf.config.pieces import (  # noqa: F401
    algorithm,
    callbacks,
    data,
    kl,
    model,
    optimizer,
    scorer,
    tracking,
    trust_region,
)
from rlhf.config.pieces.annotators import annotator  # noqa: F401
