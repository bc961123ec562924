"""Tokenizers for models trained from scratch. Ids begin with <pad> 0 and <eos> 1.

All of them give text back as it was: decode(encode(x)) == x. A token of text carries the space
before it (" film" and "film" are two tokens), so the ids of a prompt and of a completion that
begins with a space decode to the joined text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rlhf.data.records import TaskData

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
# a word or a mark with at most one space before it, or a lone space
WORDS = r" ?[\p{L}\p{N}'-]+| ?[^\s\p{L}\p{N}'-]|\s"


def training_texts(data: TaskData) -> Iterator[str]:
    """The contents of all turns of the training rows, apart."""
    for row in data.demonstrations.train if data.demonstrations else ():
        yield from (turn.content for turn in row.turns)
    for pair in data.preferences.train if data.preferences else ():
        yield from (turn.content for turn in pair.prompt)
        yield from (pair.chosen, pair.rejected)
    for prompt in data.prompts.train:
        yield from (turn.content for turn in prompt.turns)


def word_level(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a word, punctuation apart, the most frequent first. Words that `texts` do not
    hold become <unk>."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    counts = Counter(token for text in texts for token, _ in split.pre_tokenize_str(text))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {token: i for i, token in enumerate((PAD, EOS, UNKNOWN, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return _wrap(tokenizer, unk_token=UNKNOWN)


def symbols(letters: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a letter, for text of letters with a space between; no <unk>: another letter is
    an error. A leading space is dropped."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate((PAD, EOS, *letters))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _wrap(tokenizer)


def byte_level_bpe(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of at most `vocabulary` tokens, 256 bytes and two special ones among
    them. The same texts give the same tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    smallest = 256 + 2
    if vocabulary < smallest:
        raise ValueError(
            f"vocabulary={vocabulary}: a byte-level tokenizer needs {smallest} at least"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrap(tokenizer)


class BytePairs:
    """The tokenizer of a source of free text."""

    vocabulary: int

    def tokenizer(self, data: TaskData) -> PreTrainedTokenizerFast:
        """Byte-level BPE of the training rows, for a model trained from scratch."""
        return byte_level_bpe(training_texts(data), self.vocabulary)


def _wrap(tokenizer: tokenizers.Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        **special,
    )
