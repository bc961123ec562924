"""The ids that end a response, by a model and by its tokenizer."""

from __future__ import annotations

from typing import Any


def ignored_eos(model: Any, tokenizer: Any) -> dict[str, int]:
    """Token -> id of the EOS ids that the model's generation_config or config names beside the
    tokenizer's own, which alone ends a response here."""
    named: list[int] = []
    for config in (getattr(model, "generation_config", None), model.config):
        ids = getattr(config, "eos_token_id", None)
        named += ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids]
    others = [i for i in dict.fromkeys(map(int, named)) if i != tokenizer.eos_token_id]
    return dict(zip(tokenizer.convert_ids_to_tokens(others), others, strict=True))


def ignored_eos_warning(model: Any, tokenizer: Any) -> list[str]:
    """A sentence that names these ids; empty where there are none."""
    if not (others := ignored_eos(model, tokenizer)):
        return []
    listed = ", ".join(f"{token!r} (id {i})" for token, i in others.items())
    return [
        f"the model's generation_config ends a response at {listed} too: these ids are ignored,"
        f" only the tokenizer's {tokenizer.eos_token!r} (id {tokenizer.eos_token_id}) ends one"
    ]
