"""A policy mixed with the one that it began from, for others: as one model with weights between
both, or as both models with a decoder that mixes them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from rlhf.data.conversations import Prompt, asked
from rlhf.data.rendering.rendering import Rendering
from rlhf.export.check import NARROW, conversation, in_a_fresh_process
from rlhf.export.kept import networks, reference_folder
from rlhf.export.made import Made
from rlhf.models.interpolate import Interpolated
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.mixture import MixtureEngine
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_json
from rlhf.types import PromptBatch, Rollout, TokenView

DECODER, SCRIPT = "realign.py", "plain_realigned.py"
POLICY, REFERENCE = "policy", "reference"  # folders of the two models
TOKENS = 16  # greedy ones, of each row that is checked
TOLERANCE = 1e-4  # of a token's log-probability


@dataclass(frozen=True, kw_only=True)
class Realigned:
    """Which mixture of policy and reference."""

    weight: float  # lambda
    by: Literal["weights", "decoding"]


def both(made: Made, rendering: Rendering, dtype: str | None) -> tuple[Any, Any]:
    """Policy and reference as whole networks, in the type that is asked for.

    Raises:
        NoModel: the reference is not on this disk.
    """
    places = networks(made, rendering.tokenizer, views=False)
    folders = made.folder("policy"), reference_folder(made)
    models = [places.whole(folder).eval() for folder in folders]
    return tuple(m if dtype is None else m.to(getattr(torch, dtype)) for m in models)


def between(made: Made, rendering: Rendering, weight: float, dtype: str | None) -> PreTrainedModel:
    """The network with the weights (1 - lambda) SFT + lambda policy, computed in 32 bits before
    they are brought to a type."""
    policy, reference = both(made, rendering, None)
    model: Any = Interpolated.of(reference, policy).at(weight)
    mixed: PreTrainedModel = model if dtype is None else model.to(getattr(torch, dtype))
    return mixed


def add_decoder(folder: Path, weight: float) -> None:
    """Writes realign.py and lambda beside the two models."""
    shutil.copyfile(Path(__file__).with_name("decoder.py"), folder / DECODER)
    write_json(folder / "realign.json", {"lambda": weight})


@torch.no_grad()
def greedy(
    models: tuple[Any, Any],
    made: Made,
    rendering: Rendering,
    rows: Sequence[Sequence[int]],
    weight: float,
) -> tuple[Rollout, TokenView]:
    """The likeliest next tokens of the mixture after rows of ids."""
    policy, reference = models
    stops = Stops.of(rendering, (made.config.get("generation") or {}).get("stop") or ())
    width = max(map(len, rows))
    tokens = torch.full((len(rows), width), rendering.pad_id)
    mask = torch.zeros_like(tokens).bool()
    for row, ids in enumerate(rows):
        tokens[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = True
    nobody = tuple(Prompt(turns=asked("")) for _ in rows)
    engine = MixtureEngine(
        policy, stops, rendering.pad_id, rendering.tokenizer, reference=reference
    )
    (drawn,) = engine.at_each(
        PromptBatch(tokens=tokens, mask=mask, prompts=nobody),
        [weight],
        Sampling(max_new_tokens=TOKENS, top_k=1),
        generator(0, "export", "greedy"),
    )
    return drawn


def check_decoder(
    folder: Path,
    rendering: Rendering,
    rows: Sequence[Sequence[int]],
    ours: tuple[Rollout, TokenView],
    *,
    narrow: bool,
    own_code: bool,
) -> str:
    """A sentence that says how what the folder's realign.py and transformers draw agrees with ours.

    Args:
        ours: the greedy tokens after the rows, before the folder was written.
        narrow: the weights have 16 bits, in which the likeliest of two near tokens may be either.

    Raises:
        RunFailed: another token is the likeliest, a log-probability is further away than
            `TOLERANCE`, or the template gives other ids.
    """
    talk = conversation(rendering)
    turns = [turn._asdict() for turn in talk]
    asking = {"rows": [*rows], "tokens": TOKENS, "conversations": [turns], "own_code": own_code}
    theirs = in_a_fresh_process(folder, asking, SCRIPT)
    if theirs["turns"][0] != rendering.conversations([talk])[0].ids:
        raise RunFailed(f"{folder}: its apply_chat_template gives other ids than were trained")
    rollout, view = ours
    compared, apart, limit = 0, 0.0, NARROW if narrow else TOLERANCE
    for way in ("together", "alone"):
        for row in range(len(rows)):
            count = int(rollout.mask[row].sum())
            own, other = rollout.tokens[row, :count].tolist(), theirs["tokens"][way][row][:count]
            same = next((i for i in range(count) if own[i : i + 1] != other[i : i + 1]), count)
            if same < count and not narrow:
                raise RunFailed(
                    f"{folder}: its realign.py draws {other} greedily where we draw {own}. Nothing"
                    " was exported"
                )
            logp = theirs["logp"][way][row][:same]
            gaps = [abs(a - b) for a, b in zip(view.logp[row].tolist(), logp, strict=False)]
            compared, apart = compared + same, max([apart, *gaps])
    if not apart <= limit or not compared:
        raise RunFailed(
            f"{folder}: its realign.py gives a token another log-probability than we do:"
            f" {apart:.2g} apart, at most {limit:g} is allowed. Nothing was exported"
        )
    return (
        f"read in a fresh process with transformers and its realign.py alone: {compared} greedy"
        f" tokens of {len(rows)} rows as ours, log-probabilities at most {apart:.2g} apart, one at"
        " a time and padded"
    )
