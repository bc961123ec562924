"""Chat models of many families, tiny: a template that writes as the family does, and a tokenizer
that has its special tokens. Written from what is publicly known of their formats."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parent
# as the tokenizers of Llama-3 and Qwen split: line breaks stand together
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [
    "You are a helpful assistant. What is the capital of France? It is Paris, of course.",
    "Human: how are you?\n\nAssistant: I am well, thank you. User: and you? Falcon: so am I.",
    "[INST] Write a short poem. [/INST] The sea is blue,\nthe sky is too. USER ASSISTANT",
    "def f(x):\n    return x + 1\n\n\nA chat between a curious user and an assistant.",
] * 4


@dataclass(frozen=True, kw_only=True)
class Family:
    eos: str  # the tokenizer's
    bos: str | None = None
    adds_bos: bool = False
    pad: str | None = None
    # bytes, bytes_gpt2 (line breaks apart from what follows), or how SentencePiece's spaces come:
    # always, first, legacy, never
    kind: str = "bytes"
    special: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()  # added tokens that are not special
    rstrip: bool = False  # special tokens swallow the blanks after them
    model_eos: tuple[str, ...] = ()  # generation_config's, where it has more than the tokenizer
    end: str = ""  # the token after an answer, where it is not EOS
    after: str = ""  # what the template writes after that
    roles: frozenset[str] = frozenset({"system", "tool"})  # beside user and assistant

    @property
    def stop(self) -> str:
        return self.end or self.eos


CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>")
COMMAND = ("SYSTEM", "USER", "CHATBOT", "START_OF_TURN", "END_OF_TURN")
TALK = frozenset({"system"})
NOBODY: frozenset[str] = frozenset()
LLAMA = {"bos": "<|begin_of_text|>", "adds_bos": True, "special": HEADERS}
PIECES = {"eos": "</s>", "bos": "<s>", "adds_bos": True}

FAMILIES = {
    "qwen2": Family(
        eos="<|im_end|>",
        pad="<|endoftext|>",
        special=CHATML,
        after="\n",
        model_eos=("<|im_end|>", "<|endoftext|>"),
    ),
    "qwen3": Family(
        eos="<|im_end|>",
        pad="<|endoftext|>",
        special=CHATML,
        plain=("<think>", "</think>"),
        after="\n",
        model_eos=("<|im_end|>", "<|endoftext|>"),
    ),
    "llama3": Family(
        eos="<|end_of_text|>",
        end="<|eot_id|>",
        model_eos=("<|end_of_text|>", "<|eot_id|>"),
        **LLAMA,
    ),
    "llama32": Family(
        eos="<|eot_id|>",
        pad="<|finetune_right_pad_id|>",
        model_eos=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        **(LLAMA | {"special": (*HEADERS, "<|end_of_text|>")}),
    ),
    "llama2": Family(kind="legacy", roles=TALK, **PIECES),
    "mistral": Family(kind="always", roles=NOBODY, pad="</s>", **PIECES),
    "nemo": Family(special=("[INST]", "[/INST]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"), **PIECES),
    "gemma": Family(
        eos="<eos>",
        bos="<bos>",
        adds_bos=True,
        pad="<pad>",
        kind="never",
        roles=NOBODY,
        special=("<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
        after="\n",
        model_eos=("<eos>", "<end_of_turn>"),
    ),
    "phi3": Family(
        eos="<|endoftext|>",
        bos="<s>",
        kind="first",
        rstrip=True,
        pad="<|endoftext|>",
        special=("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"),
        end="<|end|>",
        after="<|endoftext|>",
        model_eos=("<|endoftext|>", "<|end|>"),
    ),
    "zephyr": Family(kind="first", pad="</s>", after="\n", **PIECES),
    "deepseek": Family(
        eos="<｜end▁of▁sentence｜>",
        bos="<｜begin▁of▁sentence｜>",
        adds_bos=True,  # noqa: RUF001
        pad="<｜end▁of▁sentence｜>",
        roles=TALK,  # noqa: RUF001
    ),
    "deepseek_r1": Family(
        eos="<｜end▁of▁sentence｜>",  # noqa: RUF001
        bos="<｜begin▁of▁sentence｜>",  # noqa: RUF001
        adds_bos=True,
        special=("<｜User｜>", "<｜Assistant｜>"),  # noqa: RUF001
        plain=("<think>", "</think>"),
        roles=TALK,
    ),
    "command_r": Family(
        eos="<|END_OF_TURN_TOKEN|>",
        bos="<BOS_TOKEN>",
        adds_bos=True,
        pad="<PAD>",
        special=tuple(f"<|{name}_TOKEN|>" for name in COMMAND),
    ),
    "vicuna": Family(kind="legacy", pad="<unk>", roles=TALK, **PIECES),
    "falcon": Family(eos="<|endoftext|>", kind="bytes_gpt2"),
    "granite": Family(
        eos="<|end_of_text|>",
        pad="<|end_of_text|>",
        after="\n",
        special=("<|start_of_role|>", "<|end_of_role|>"),
    ),
    "tulu": Family(eos="<|endoftext|>", bos="<|endoftext|>", pad="<|padding|>"),
    "harmony": Family(
        eos="<|return|>",
        pad="<|endoftext|>",
        model_eos=("<|return|>", "<|call|>"),
        special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"),
    ),
}


def template(name: str) -> str:
    return (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """As the family's: its special tokens, its way with spaces and with BOS, and its template."""
    family = FAMILIES[name]
    made = build(family)
    made.chat_template = template(name)
    return made


def build(family: Family) -> PreTrainedTokenizerFast:
    """A tokenizer of some 500 tokens, without a template."""
    by_bytes = family.kind.startswith("bytes")
    backend = byte_level(family.kind) if by_bytes else pieces(family.kind)
    own = (family.bos, family.eos, family.pad, *family.special)
    special = list(dict.fromkeys(token for token in own if token))
    backend.add_special_tokens([AddedToken(t, rstrip=family.rstrip) for t in special])
    backend.add_tokens([AddedToken(token, normalized=False) for token in family.plain])
    if family.bos and family.adds_bos:
        bos = (family.bos, backend.token_to_id(family.bos))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", special_tokens=[bos]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=family.eos,
        bos_token=family.bos,
        pad_token=family.pad,
        unk_token=None if by_bytes else "<unk>",
        clean_up_tokenization_spaces=False,
    )


def byte_level(kind: str) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bytes_gpt2")
    backend.pre_tokenizer = (
        by_bytes if kind == "bytes_gpt2" else pre_tokenizers.Sequence([split, by_bytes])
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False),
    )
    return backend


def pieces(kind: str) -> Tokenizer:
    """As SentencePiece's BPE with a fall back to bytes. `legacy`: spaces by a normalizer, as the
    tokenizers of Llama-1 and -2 are kept."""
    learned = Tokenizer(models.BPE(unk_token="<unk>"))
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>"], initial_alphabet=["\n"], show_progress=False
    )
    learned.train_from_iterator([line for text in TEXTS for line in text.split("\n")], trainer)
    model = json.loads(learned.to_str())["model"]
    tokens = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), *model["vocab"]]
    backend = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(dict.fromkeys(tokens))},
            merges=[tuple(merge) for merge in model["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    if kind == "legacy":
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    to_text = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = [] if kind == "never" else [decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence([*to_text, *strip])
    return backend
