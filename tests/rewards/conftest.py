"""Responses by their texts, without a policy that draws them."""

import pytest
import torch

from rlhf.data.conversations import Prompt, asked
from rlhf.rollout.score import Responses
from rlhf.types import PromptBatch, Rollout
from tests.turns import stops


@pytest.fixture
def responses_of(tokenizer):
    """responses_of(texts, prompts=..., references=..., tokens=..., ended=...) -> Responses."""

    def make(texts, prompts=None, references=None, tokens=None, ended=None):
        count = len(texts)
        prompts = prompts or [f"prompt {i}" for i in range(count)]
        references = references or [None] * count
        lengths = tokens or [3] * count
        ended = torch.tensor(ended or [True] * count)
        mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        ids = torch.full(mask.shape, 3)
        last = mask.sum(1) - 1
        for row in range(count):
            if ended[row]:
                ids[row, last[row]] = tokenizer.eos_token_id
        batch = PromptBatch(
            tokens=torch.full((count, 1), 3),
            mask=torch.ones(count, 1, dtype=torch.bool),
            prompts=tuple(
                Prompt(turns=asked(prompt), reference=reference)
                for prompt, reference in zip(prompts, references, strict=True)
            ),
        )
        rollout = Rollout(
            prompt=batch, tokens=ids, mask=mask, logp=torch.zeros(mask.shape), ended=ended
        )
        responses = Responses(rollout=rollout, tokenizer=tokenizer, stops=stops(tokenizer))
        vars(responses)["texts"] = list(texts)
        return responses

    return make
