"""The cases that sides are compared on: model shapes, lengths, and files that both sides read.

Models have random weights. Their head is set so that a response ends with a given probability at
every token (the hazard), whatever was written before: so lengths are ragged as those of trained
models are, and no training is needed.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

PAD, EOS, UNKNOWN = 0, 1, 2  # ids; words follow
SPECIAL = ("<pad>", "<eos>", "<unk>")
HELDOUT = 0.02  # data.heldout_fraction
CONSTANT = 2.0  # the first number of every token's embedding, which the head knows the hazard by


@dataclass(frozen=True, kw_only=True)
class Case:
    """`hazard`: the probability that a response ends at a token; 0: all have their full length."""

    layers: int
    hidden: int
    vocabulary: int
    prompts: tuple[int, int]  # tokens, at least and at most
    response: int  # tokens at the most
    hazard: float
    rows: int = 64  # an iteration, or an epoch of SFT and reward model
    minibatch: int = 16
    epochs: int = 4  # over one rollout
    heads: int = 4
    kv_heads: int = 4
    inner: int | None = None  # width of an MLP; None: as Llama has it
    device: str = "cpu"  # or "cuda"
    in_16_bits: bool = False  # bf16-mixed, of both sides

    @property
    def inner_size(self) -> int:
        return self.inner or round(8 * self.hidden / 3)

    @property
    def text(self) -> str:
        low, high = self.prompts
        lengths = f"{low}" if low == high else f"{low} to {high}"
        ends = f"a hazard of 1/{round(1 / self.hazard)}" if self.hazard else "no end before"
        return (
            f"Llama {self.layers} x {self.hidden}, vocabulary {self.vocabulary:,}, prompts of"
            f" {lengths} tokens, responses of at most {self.response}, {ends}"
        )

    @property
    def steps(self) -> int:
        return self.epochs * self.rows // self.minibatch


# On a GPU, in the shapes of SmolLM2-135M and TinyLlama-1.1B. Ragged rows are in 32 bits: with
# prompts that are padded on the left TRL's policy was NaN after its first update in bf16
LARGE = {"vocabulary": 49_152, "rows": 128, "minibatch": 32, "device": "cuda"}
SMOL = {**LARGE, "layers": 30, "hidden": 576, "heads": 9, "kv_heads": 3, "inner": 1536}
BILLION = {**LARGE, "layers": 22, "hidden": 2048, "heads": 32, "kv_heads": 4, "inner": 5632}
LLAMA = {"layers": 4, "hidden": 256, "vocabulary": 2048}
QUICKSTART = {"layers": 2, "hidden": 64, "vocabulary": 117}
CASES = {
    "ragged": Case(**LLAMA, prompts=(8, 32), response=64, hazard=1 / 24),
    "full": Case(**LLAMA, prompts=(32, 32), response=32, hazard=0.0),
    # the quickstart's models with rows half as long as the ragged ones, and with its own rows
    "quick": Case(**QUICKSTART, prompts=(8, 32), response=32, hazard=1 / 12),
    "quickstart": Case(**QUICKSTART, prompts=(2, 6), response=20, hazard=1 / 12),
    "135m": Case(**SMOL, prompts=(16, 64), response=128, hazard=1 / 48),
    "135m-full": Case(**SMOL, prompts=(64, 64), response=128, hazard=0.0, in_16_bits=True),
    "1b": Case(**BILLION, prompts=(16, 64), response=128, hazard=1 / 48),
    "1b-full": Case(**BILLION, prompts=(64, 64), response=128, hazard=0.0, in_16_bits=True),
    "toy": Case(
        layers=1,
        hidden=16,
        vocabulary=32,
        prompts=(2, 5),
        response=6,
        hazard=1 / 4,
        rows=8,
        minibatch=4,
        epochs=2,
    ),
}


def words(rng: random.Random, case: Case, count: int) -> str:
    return " ".join(f"w{rng.randrange(len(SPECIAL), case.vocabulary)}" for _ in range(count))


def length(rng: random.Random, case: Case) -> int:
    """Words of a response before its end, as the hazard draws them."""
    if not case.hazard:
        return case.response
    count = 1
    while count < case.response - 1 and rng.random() >= case.hazard:
        count += 1
    return count


def is_heldout(row: dict[str, str]) -> bool:
    """Whether the product holds the row out at `HELDOUT` (its rule: a hash of the prompt)."""
    from rlhf.data.splits import position

    return position(row["prompt"], 0) < HELDOUT


def save_rows(case: Case, folder: Path, count: int) -> None:
    """prompts.jsonl, demonstrations.jsonl, preferences.jsonl: `count` rows to train on in each, and
    two that the product holds out."""
    rng = random.Random(0)
    kinds: dict[str, list[dict[str, str]]] = {
        "prompts": [],
        "demonstrations": [],
        "preferences": [],
    }
    sides, seen = {True: 2, False: count}, set[str]()
    while any(sides.values()):
        prompt = words(rng, case, rng.randint(*case.prompts))
        held = is_heldout({"prompt": prompt})
        if prompt in seen or not sides[held]:
            continue
        seen.add(prompt)
        sides[held] -= 1
        answers = [f" {words(rng, case, length(rng, case))}" for _ in range(3)]
        kinds["prompts"].append({"prompt": prompt})
        kinds["demonstrations"].append({"prompt": prompt, "completion": answers[0]})
        kinds["preferences"].append(
            {"prompt": prompt, "chosen": answers[1], "rejected": answers[2]}
        )
    for kind, rows in kinds.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / f"{kind}.jsonl").write_text(lines)


def training_rows(folder: Path, kind: str) -> list[dict[str, str]]:
    lines = (folder / f"{kind}.jsonl").read_text().splitlines()
    return [row for line in lines if not is_heldout(row := json.loads(line))]


def save_models(case: Case, folder: Path) -> None:
    """`policy` and `reward` in `folder`, each with the tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=case.vocabulary,
        hidden_size=case.hidden,
        intermediate_size=case.inner_size,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        num_key_value_heads=case.kv_heads,
        max_position_embeddings=512,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    policy = LlamaForCausalLM(config).eval()
    set_hazard(policy, case)
    config.num_labels = 1
    for name, model in (("policy", policy), ("reward", LlamaForSequenceClassification(config))):
        model.save_pretrained(folder / name)
        save_tokenizer(case, folder / name)


def set_hazard(policy: object, case: Case) -> None:
    """Sets the head's rows of special tokens: EOS has the case's hazard on average, others none."""
    import torch

    with torch.no_grad():
        policy.model.embed_tokens.weight[:, 0] = CONSTANT  # type: ignore[attr-defined]
        head = policy.lm_head.weight  # type: ignore[attr-defined]
        head[:, 0] = 0.0
        head[: len(SPECIAL)] = 0.0
        text = torch.randint(len(SPECIAL), case.vocabulary, (16, 32))
        states = policy.model(text).last_hidden_state.flatten(0, 1)  # type: ignore[attr-defined]
        others = (states @ head[len(SPECIAL) :].T).logsumexp(-1)
        constant = states[:, 0]
        low, high = -20.0, 20.0
        for _ in range(40):  # the mean hazard rises with the weight
            weight = (low + high) / 2
            hazard = torch.sigmoid(weight * constant - others).mean()
            low, high = (low, weight) if hazard > case.hazard else (weight, high)
        never = -60.0 / constant.mean()
        head[: len(SPECIAL), 0] = never
        head[EOS, 0] = (low + high) / 2 if case.hazard else never


def save_tokenizer(case: Case, folder: Path) -> None:
    """A word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), case.vocabulary))]
    word_level = Tokenizer(
        models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=SPECIAL[UNKNOWN])
    )
    word_level.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=word_level,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[EOS],
        unk_token=SPECIAL[UNKNOWN],
        padding_side="left",
    ).save_pretrained(folder)


def prepare(name: str, folder: Path, count: int) -> Case:
    """The case with its files in `folder`, made where they are not there."""
    case = CASES[name]
    if not (folder / "prompts.jsonl").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        save_models(case, folder)
        save_rows(case, folder, count)
    return case
