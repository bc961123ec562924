"""The models of a run or artifact in memory, with the rendering and the stop ids that were kept
with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf.config.allow import REMOTE_CODE, user_allowed
from rlhf.data.rendering.choice import AUTO, MODEL, Template, choose
from rlhf.data.rendering.rendering import Rendering
from rlhf.export.made import Made, NoModel
from rlhf.models.eos import eos_ids
from rlhf.models.load import load_tokenizer
from rlhf.models.networks import Networks
from rlhf.rundir.read import read_object


def trusts(made: Made) -> dict[str, bool]:
    """Whether code that comes with the model runs: where its config and this command allow it.

    Raises:
        NoModel: the config does, this command does not: the config may have come from others.
    """
    wanted = bool((made.config.get("model") or {}).get("trust_remote_code"))
    if wanted and not user_allowed(REMOTE_CODE):
        raise NoModel(
            f"{made.directory}: the model's own code would run:"
            " --allow-targets=transformers_modules allows it"
        )
    return {"trust_remote_code": wanted}


def networks(made: Made, tokenizer: PreTrainedTokenizerBase, *, views: bool) -> Networks:
    """Loads the models of a run as training read them: policies are distributions over the
    tokenizer's ids.

    Args:
        views: adapters are views of one network; without it, each is merged into its own.
    """
    dtype = str((made.config.get("model") or {}).get("dtype") or "float32")
    return Networks(
        tokenizer=tokenizer,
        views=views,
        share=views,
        dtype=dtype,
        frozen_whole=True,
        trust_remote_code=trusts(made)["trust_remote_code"],
    )


def rendering_of(folder: Path, made: Made) -> Rendering:
    """The rendering that the models of a folder were trained with: the template in its tokenizer;
    where there is none, as before 0.2.0, prompt and response as they follow each other."""
    tokenizer = load_tokenizer(folder, **trusts(made))
    own = tokenizer.chat_template
    template = (
        Template(MODEL, own) if isinstance(own, str) else choose(AUTO, tokenizer, continues=True)
    )
    return Rendering(tokenizer=tokenizer, template=template, model_stops=kept_stops(folder, made))


def kept_stops(folder: Path, made: Made) -> Sequence[int]:
    """The ids that end a response by the generation_config.json of a folder, or of the policy that
    it was made from."""
    places = [folder, *filter(None, map(made.artifact, ("sft", "ppo")))]
    read = (read_object(place / "generation_config.json") for place in places)
    config: dict[str, Any] = next(filter(None, read), {})
    return eos_ids(_Named(config.get("eos_token_id")))


class _Named:
    def __init__(self, ids: Any) -> None:
        self.eos_token_id = ids


def reference_folder(made: Made) -> Path:
    """The directory of the policy that the KL is measured from.

    Raises:
        NoModel: it is not on this disk, or is the model before any training.
    """
    if made.stage == "sft":
        raise NoModel(f"{made.directory} is an SFT policy: its reference is the model before SFT")
    if place := made.artifact("sft"):
        return place
    own = made.prints.get("sft")
    raise NoModel(f"the SFT policy {own} of {made.directory} is not on this disk any more")
