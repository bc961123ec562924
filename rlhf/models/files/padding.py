"""A pad for a reward model's directory.

Hugging Face's sequence classifiers know no mask where they read: they take the last token that is
not `config.pad_token_id` (`GenericForSequenceClassification.forward`). Where the pad is also the
EOS, or whatever else can end a text, they read a token too early."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

NEW = "<pad>"
# special tokens that exist to be free come first
_FREE = re.compile(r"pad|reserved|unused|extra", re.IGNORECASE)
_CONVERSATION = [
    {"role": role, "content": "a"} for role in ("system", "user", "assistant", "user", "assistant")
]


def for_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stop_ids: Collection[int] = ()
) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer whose pad can never stand in a text that is scored, which the model's
    config names from then on; padding on the right, as models with absolute positions need it.

    It is the tokenizer's own pad, where that is free; else another special token that is; else a
    new one, for which the embedding grows by a row if it has none to spare.
    """
    own, rows = copy.deepcopy(tokenizer), embedding_rows(model)
    own.padding_side = "right"
    token = free_token(own, stop_ids, rows)
    if token is not None:
        own.pad_token = token
    else:
        own.add_special_tokens({"pad_token": _new_token(own)})
        if int(own.pad_token_id) >= rows:
            model.resize_token_embeddings(int(own.pad_token_id) + 1, mean_resizing=False)
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.pad_token_id = int(own.pad_token_id)
    return own


def embedding_rows(model: PreTrainedModel) -> int:
    return len(cast(nn.Embedding, model.get_input_embeddings()).weight)


def free_token(tokenizer: Any, stop_ids: Collection[int], rows: int) -> str | None:
    """A special token with a row in the embedding that no counted text has; None where there is
    none."""
    taken = counted_ids(tokenizer, stop_ids)
    special = special_tokens(tokenizer)
    free = sorted(
        (i != tokenizer.pad_token_id, not _FREE.search(token), i, token)
        for token, i in special.items()
        if i not in taken and i < rows
    )
    return free[0][-1] if free else None


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Token -> id of those that text never gives, where it is encoded as text."""
    added = {
        str(token.content): int(i)
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.special
    }
    named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return added | {str(token): int(i) for token, i in named}


def counted_ids(tokenizer: Any, stop_ids: Collection[int] = ()) -> set[int]:
    """The special ids that can stand in a text that is scored: BOS, EOS, <unk>, those that end a
    response, and all that the chat template writes or names."""
    ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, *stop_ids}
    texts = [str(tokenizer.chat_template or ""), *_written(tokenizer)]
    written = {
        i for token, i in special_tokens(tokenizer).items() if any(token in t for t in texts)
    }
    return {int(i) for i in ids | written if i is not None}


def _written(tokenizer: Any) -> Iterator[str]:
    """Conversations in the tokenizer's template: some spell their marks out of parts."""
    if not tokenizer.chat_template:
        return
    for turns in (_CONVERSATION, _CONVERSATION[1:], _CONVERSATION[1:2]):
        for asks in (True, False):
            with suppress(Exception):  # a template may refuse a system turn, or ask for more
                yield tokenizer.apply_chat_template(
                    turns, add_generation_prompt=asks, tokenize=False
                )


def _new_token(tokenizer: Any) -> str:
    vocabulary = tokenizer.get_vocab()
    names = (NEW, "<|pad|>", *(f"<pad_{i}>" for i in range(len(vocabulary) + 1)))
    return next(name for name in names if name not in vocabulary)
