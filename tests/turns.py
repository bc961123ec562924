"""Rows, renderings and prompts of plain texts, as the embedded tasks have them."""

from rlhf.data.collate import collate_prompts
from rlhf.data.conversations import Prompt, asked
from rlhf.data.records import Demonstration, Preference
from rlhf.data.rendering.choice import choose
from rlhf.data.rendering.rendering import Rendering


def prompts(*texts):
    return tuple(Prompt(turns=asked(text)) for text in texts)


def demonstration(prompt, completion):
    return Demonstration(prompt=asked(prompt), completion=completion)


def preference(prompt, chosen, rejected, **more):
    return Preference(prompt=asked(prompt), chosen=chosen, rejected=rejected, **more)


def rendering(tokenizer, template="plain", **more):
    return Rendering(
        tokenizer=tokenizer, template=choose(template, tokenizer, continues=True), **more
    )


def prompt_batch(tokenizer, texts, limit=None):
    return collate_prompts(rendering(tokenizer), prompts(*texts), limit)


def stops(tokenizer, **more):
    """Of a tokenizer's own EOS."""
    from rlhf.rollout.engines.base import Stops

    return Stops(ids=(tokenizer.eos_token_id,), **more)


def engine(model, tokenizer, pad=None):
    from rlhf.rollout.engines.torch import TorchEngine

    pad = tokenizer.pad_token_id if pad is None else pad
    return TorchEngine(model, stops(tokenizer), pad, tokenizer)
