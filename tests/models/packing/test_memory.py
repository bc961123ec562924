"""How many copies of the logits live at once, by the allocations that torch's profiler saw."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf.at_once import AtOnce
from rlhf.functional import vocabulary
from rlhf.models.packing.attention import attending
from rlhf.models.policy import PolicyReader, _real_ids
from rlhf.types import PromptBatch, Rollout

ROWS, PROMPT, RESPONSE, VOCABULARY = 16, 4, 16, 8192
COPY = 4 * ROWS * RESPONSE * VOCABULARY  # bytes


def peak(function):
    """The most bytes that lived at once of those that the function took."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        function()
    events = seen.profiler.kineto_results.events()
    total, most = 0, 0
    for _, size in sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"):
        total += size
        most = max(most, total)
    return most


def rollout():
    """Nothing of it is padding."""
    ids = torch.randint(VOCABULARY, (ROWS, PROMPT + RESPONSE))
    mask = torch.ones_like(ids, dtype=torch.bool)
    prompt = PromptBatch(tokens=ids[:, :PROMPT], mask=mask[:, :PROMPT], prompts=("",) * ROWS)
    counted = mask[:, PROMPT:]
    return Rollout(
        prompt=prompt,
        tokens=ids[:, PROMPT:],
        mask=counted,
        logp=torch.zeros(counted.shape),
        ended=counted[:, 0],
    )


@pytest.mark.parametrize(
    ("what", "copies"),
    [
        ("update", 1.2),
        ("update of a head that is wider than the tokenizer", 1.2),
        ("log-probabilities", 1.1),
        ("policy and reference", 1.2),
    ],
)
def test_copies_of_the_logits(what, copies, monkeypatch):
    monkeypatch.setattr(vocabulary, "BLOCK", 2**16)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=VOCABULARY, num_attention_heads=2, **sizes)
    models = [attending(LlamaForCausalLM(config).eval(), {}) for _ in range(2)]
    at_once = AtOnce(rows=ROWS)
    readers = [PolicyReader(model=m, temperature=0.7, at_once=at_once) for m in models]
    reader, reference = readers
    rows = rollout()
    if "wider" in what:
        models[0].register_forward_hook(partial(_real_ids, VOCABULARY - 100, torch.tensor([])))
        rows = replace(rows, tokens=rows.tokens.clamp(max=VOCABULARY - 101))

    def update():
        read = reader.read(rows, entropy=True)
        (read.logp.sum() + 0.01 * read.entropy.sum()).backward()

    whats = {
        "update": update,
        "update of a head that is wider than the tokenizer": update,
        "log-probabilities": lambda: reader.logp(rows),
        "policy and reference": lambda: reader.view(reference, rows),
    }
    whats[what]()
    models[0].zero_grad()
    assert 1.0 <= peak(whats[what]) / COPY <= copies
