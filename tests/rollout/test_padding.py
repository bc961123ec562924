"""Every number of a padded batch is that of its row alone, as plain transformers gives it without
padding, mask or positions."""

import copy
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st

from rlhf.at_once import AtOnce
from rlhf.data.collate import pad
from rlhf.data.conversations import Prompt, asked
from rlhf.data.tokenizers import word_level
from rlhf.functional.kl import exact
from rlhf.functional.logprobs import token_logp
from rlhf.models.load import load_causal_lm, load_tokenizer, scalar_model_from
from rlhf.models.policy import PolicyReader, policy_of, response_logits
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.rollout.score import Judges
from rlhf.types import PromptBatch
from tests.conftest import tiny

SMOLLM2 = Path(
    os.environ.get("RLHF_SMOLLM2", Path(__file__).parents[2] / "outputs" / "models" / "smollm2")
)


@dataclass(frozen=True)
class Models:
    """The models of a run on one tokenizer."""

    tokenizer: object
    policy: object
    reference: object
    reward_model: object
    value_model: object

    @classmethod
    def of(cls, tokenizer, policy, reference):
        reward_model, value_model = (scalar_model_from(policy, seed=seed) for seed in (0, 1))
        reward_model.normalize(torch.tensor([1.0, 4.0]))
        return cls(tokenizer, policy, reference, reward_model, value_model)


@cache
def small(architecture):
    tokenizer = word_level(["a a b c d e f g h", *"bcdefgh"])
    return Models.of(tokenizer, *(tiny(tokenizer, architecture, seed=seed) for seed in (0, 1)))


# --- the numbers of a batch, as a run has them


def batch_numbers(models, prompts, stops, fill, extra, seed, rows):
    """Responses to `prompts` (ids) with `extra` more padding on the left, and what is read of
    them, `rows` a forward pass."""
    tokens, mask = pad([*prompts, [fill] * (max(map(len, prompts)) + extra)], fill, side="left")
    batch = PromptBatch(
        tokens=tokens[:-1],
        mask=mask[:-1],
        prompts=tuple(Prompt(turns=asked("q")) for _ in prompts),
    )
    engine = TorchEngine(models.policy, stops, fill, models.tokenizer)
    rollout = engine.respond(batch, Sampling(max_new_tokens=6), generator(seed, "padding"))
    read = [
        PolicyReader(model=m, temperature=1.0, at_once=AtOnce(rows=rows))
        for m in (models.policy, models.reference)
    ]
    view = read[0].view(read[1], rollout)
    judges = Judges(tokenizer=models.tokenizer, stops=stops, reward_model=models.reward_model)
    return rollout, {
        "drawn": rollout.logp,
        "logp": view.logp,
        "ref_logp": view.ref_logp,
        "kl": view.exact_kl,
        "value": models.value_model.predict(rollout, AtOnce(rows=rows)),
        "reward": judges.read(rollout).scores["proxy"],
    }


# --- the same of one row


def scalars(model, ids):
    """The head at every position of a row without padding."""
    hidden = model.model.base_model(input_ids=torch.tensor([ids])).last_hidden_state
    mean, std = model.normalization
    return ((model.head(hidden)[0, :, 0]).float() - mean) / std


@torch.no_grad()
def row_numbers(models, prompt, response, after):
    """`after`: ids that the template writes after the response."""
    ids, length = [*prompt, *response], len(response)
    logits, ref_logits = (
        model(input_ids=torch.tensor([ids])).logits[:, -length - 1 : -1].float()
        for model in (models.policy, models.reference)
    )
    tokens = torch.tensor([response])
    logp = token_logp(logits, tokens)[0]
    return {
        "drawn": logp,
        "logp": logp,
        "ref_logp": token_logp(ref_logits, tokens)[0],
        "kl": exact(logits, ref_logits)[0],
        "value": scalars(models.value_model, ids)[-length - 1 : -1],
        "reward": scalars(models.reward_model, [*ids, *after])[-1],
    }


def same(one, other, what, atol=1e-5):
    assert torch.allclose(one, other, atol=atol, rtol=1e-5), (what, one, other)


def check(models, prompts, stops, fill, extra=0, seed=0, rows=8):
    rollout, batch = batch_numbers(models, prompts, stops, fill, extra, seed, rows)
    for i, prompt in enumerate(prompts):
        response = rollout.tokens[i][rollout.mask[i]].tolist()
        length = len(response)
        assert not {*response[:-1]} & {*stops.ids}
        assert bool(rollout.ended[i]) == (response[-1] in stops.ids)
        after = stops.closing if rollout.ended[i] else ()
        for what, expected in row_numbers(models, prompt, response, after).items():
            row = batch[what][i]
            same(row if what == "reward" else row[:length], expected, what)
            if what != "reward":
                assert not row[length:].any()


PROMPTS = st.lists(st.lists(st.integers(3, 17), min_size=1, max_size=6), min_size=1, max_size=5)
STOPS = st.sampled_from([(1,), (5, 1), (4, 1, 9, 12)])  # <eos> is 1
CLOSING = st.sampled_from([(), (7,), (7, 8, 1)])
FILL = st.sampled_from([0, 1, 9])  # <pad>; no pad token, or one that is EOS; a word


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@settings(max_examples=25, deadline=None)
@given(
    prompts=PROMPTS,
    stops=STOPS,
    closing=CLOSING,
    fill=FILL,
    extra=st.integers(0, 5),
    seed=st.integers(0, 99),
    rows=st.integers(1, 8),
)
def test_a_rollouts_numbers(architecture, prompts, stops, closing, fill, extra, seed, rows):
    stops = Stops(ids=stops, closing=closing)
    check(small(architecture), prompts, stops, fill, extra, seed, rows)


ROWS = st.lists(st.lists(st.integers(0, 17), min_size=2, max_size=9), min_size=1, max_size=5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
@settings(max_examples=25, deadline=None)
@given(rows=ROWS, fill=FILL)
@torch.no_grad()
def test_rows_padded_on_either_side(architecture, side, rows, fill):
    """As SFT and the reward model read them: on the right; pads within a row's ids count."""
    models = small(architecture)
    tokens, mask = pad(rows, fill, side=side)
    scores, length = models.reward_model.score(tokens, mask), tokens.shape[1] - 1
    logp = token_logp(response_logits(models.policy, tokens, mask, length), tokens[:, 1:])
    for i, row in enumerate(rows):
        same(scores[i], scalars(models.reward_model, row)[-1], "reward")
        logits = models.policy(input_ids=torch.tensor([row])).logits[:, :-1]
        own = logp[i, -len(row) + 1 :] if side == "left" else logp[i, : len(row) - 1]
        same(own, token_logp(logits, torch.tensor([row[1:]]))[0], "logp")


@pytest.mark.slow
def test_smollm2():
    """Its pad token is its EOS."""
    if not (SMOLLM2 / "config.json").is_file():
        pytest.skip(f"no model in {SMOLLM2}: run make smollm2, or set RLHF_SMOLLM2")
    tokenizer = load_tokenizer(SMOLLM2)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    policy = policy_of(load_causal_lm(SMOLLM2), tokenizer)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        torch.manual_seed(0)
        for weight in reference.parameters():
            weight.add_(0.02 * weight.std() * torch.randn_like(weight) if weight.ndim > 1 else 0)
    models = Models.of(tokenizer, policy, reference)
    texts = ["The capital of France is", "Hi", "One, two, three, four, five, six, seven,", "A cat"]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    closing = tuple(tokenizer("\n", add_special_tokens=False)["input_ids"])
    often = [tokenizer.convert_tokens_to_ids(word) for word in (".", ",", "Ċ")]
    stops = Stops(ids=(tokenizer.eos_token_id, *often), closing=closing)
    check(models, ids, stops, tokenizer.pad_token_id, extra=3, rows=2)
