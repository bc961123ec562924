"""The ids that end a response, by a model's configurations."""

from __future__ import annotations

from typing import Any


def eos_ids(*configs: Any) -> list[int]:
    """The EOS ids that configurations name, each once: a model's generation_config may end a turn
    with another token than its tokenizer ends a text with."""
    named: list[int] = []
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        named += ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids]
    return list(dict.fromkeys(map(int, named)))
