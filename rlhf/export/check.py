"""An exported directory read back in a process that knows transformers alone: does it mean the
same?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch

from rlhf.data.conversations import ASSISTANT, USER, Turn, Turns
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import TemplateError
from rlhf.export.made import What
from rlhf.models.adapters.views import PolicyView
from rlhf.models.checks import positions_of
from rlhf.models.networks import Policy
from rlhf.models.policy import response_logits
from rlhf.models.scalar import ScalarModel
from rlhf.randomness import generator
from rlhf.rundir.errors import RunFailed

ROWS = 10
LONGEST = 24  # tokens of a row
# the most that a number may differ by: of mean log-probabilities, and of scores; in 16 bits
# transformers' kernels for padded and single rows differ by more
TOLERANCE: dict[What, float] = {"policy": 1e-5, "reward_model": 1e-4}
NARROW = 0.1
CONVERSATION = (Turn(USER, "What?"), Turn(ASSISTANT, "That."))
SECONDS = 900
Rows = Sequence[Sequence[int]]
Readable: TypeAlias = Policy | ScalarModel


def conversation(rendering: Rendering) -> Turns:
    """A question and an answer to compare by; of a tokenizer that cannot write it a word of its
    own each."""
    try:
        rendering.conversations([CONVERSATION])
    except TemplateError:
        return rendering.probe
    return CONVERSATION


def rows_of(rendering: Rendering, model: Readable) -> list[list[int]]:
    """Ten rows of ids, the same for the same tokenizer: a conversation as the template writes it,
    and random text of 3 to 24 tokens, every second row with what ends a response."""
    tokenizer, positions = rendering.tokenizer, positions_of(inner(model).config)
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    text = torch.tensor(sorted({*tokenizer.get_vocab().values()} - special))
    end = [rendering.stop_ids[0], *rendering.closing]
    longest = min(LONGEST, (positions or LONGEST) - len(end))
    draws = generator(0, "export", "rows")
    rows = [rendering.conversations([conversation(rendering)])[0].ids[: positions or None]]
    for i in range(1, ROWS):
        length = 3 + (longest - 3) * i // ROWS
        drawn = text[torch.randint(len(text), (length,), generator=draws)].tolist()
        rows.append([*drawn, *(end if i % 2 else [])])
    return rows


@torch.no_grad()
def expected(model: Readable, rows: Rows) -> list[float]:
    """Our number for each row, read alone: the reward model's score, or the policy's mean
    log-probability of its tokens but the first."""
    values = []
    for row in rows:
        ids = torch.tensor([row])
        mask = torch.ones_like(ids).bool()
        if isinstance(model, ScalarModel):
            values.append(model.score(ids, mask).item())
        else:
            logits = response_logits(model, ids, mask, len(row) - 1)
            picked = logits.log_softmax(-1).gather(2, ids[:, 1:, None])
            values.append(picked.mean().item())
    return values


def inner(model: Readable) -> Policy:
    return model.model if isinstance(model, ScalarModel) else model


def check(
    folder: Path,
    model: Readable,
    rendering: Rendering,
    rows: Rows,
    ours: Sequence[float],
    *,
    own_code: bool = False,
) -> str:
    """A sentence that says how far apart ours and transformers' numbers are.

    Args:
        ours: what we read of the rows before the directory was written.

    Raises:
        RunFailed: further than `TOLERANCE`, or the template there gives other ids.
    """
    what: What = "reward_model" if isinstance(model, ScalarModel) else "policy"
    talk = conversation(rendering)
    turns = [turn._asdict() for turn in talk]
    known, kind = _reads(model)
    asked = {"what": what, "rows": [*rows], "conversations": [turns], "own_code": own_code}
    theirs = in_a_fresh_process(folder, {**asked, **kind})
    trained = rendering.conversations([talk])[0].ids
    if theirs["turns"][0] != trained:
        raise RunFailed(
            f"{folder}: its apply_chat_template gives {theirs['turns'][0]} for a conversation that"
            f" was trained as {trained}"
        )
    apart = max(
        (
            abs(a - b)
            for way in ("together", "alone")
            for a, b in zip(ours, theirs[way], strict=False)
        ),
        default=float("nan"),
    )
    narrow = inner(model).dtype in (torch.bfloat16, torch.float16)
    limit = NARROW if narrow else TOLERANCE[what]
    number = "score" if what == "reward_model" else "mean log-probability"
    if not apart <= limit:
        raise RunFailed(
            f"{folder}: {known} alone reads another {number} than we do: {apart:.2g} apart on"
            f" {len(rows)} rows, at most {limit:g} is allowed. Nothing was exported"
        )
    return (
        f"read in a fresh process with {known} alone: {number} of {len(rows)} rows at most"
        f" {apart:.2g} from ours, one at a time and padded"
    )


def _reads(model: Readable) -> tuple[str, dict[str, str]]:
    """Who reads it; and of an adapter the type of its network, whose files may have another."""
    if not isinstance(model, PolicyView):
        return "transformers", {}
    return "transformers and PEFT", {"dtype": str(model.dtype).removeprefix("torch.")}


def in_a_fresh_process(
    folder: Path, asked: dict[str, Any], name: str = "plain.py"
) -> dict[str, Any]:
    """What the script of this name answers. Raises RunFailed where it fails."""
    script = Path(__file__).with_name(name)
    with TemporaryDirectory() as aside:
        rows, answer = Path(aside) / "rows.json", Path(aside) / "answer.json"
        rows.write_text(json.dumps(asked))
        process = subprocess.run(
            # -B: no __pycache__ beside the code that the folder holds
            [sys.executable, "-B", str(script), str(folder.absolute()), str(rows), str(answer)],
            cwd=aside,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if process.returncode or not answer.is_file():
            last = (process.stderr.strip().splitlines() or ["no word"])[-1]
            raise RunFailed(f"{folder} cannot be read with transformers alone: {last[:300]}")
        read: dict[str, Any] = json.loads(answer.read_text())
        return read
