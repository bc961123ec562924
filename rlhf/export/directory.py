"""Writes a policy or reward model as an ordinary Hugging Face directory, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import GenerationConfig

from rlhf.data.rendering.rendering import Rendering
from rlhf.export import card
from rlhf.export.check import Readable, check, expected, rows_of
from rlhf.export.facts import SAMPLING
from rlhf.export.kept import networks, rendering_of, trusts
from rlhf.export.made import Made, NoModel, What, check_free, find
from rlhf.export.realigned import (
    POLICY,
    REFERENCE,
    Realigned,
    add_decoder,
    between,
    both,
    check_decoder,
    greedy,
)
from rlhf.models.adapters.views import PolicyView
from rlhf.models.checks import textless_ids, vocabulary_size
from rlhf.models.files.adapter import Base, base_of, is_adapter, known_as
from rlhf.models.files.folder import saving
from rlhf.models.files.padding import embedding_rows
from rlhf.models.networks import write_beside
from rlhf.models.scalar import ScalarModel
from rlhf.rundir.disk.aside import aside_of, strays
from rlhf.rundir.disk.space import writing
from rlhf.rundir.files import sync_directory, write_text


def export(
    made: Made,
    what: What,
    to: Path,
    *,
    name: str | None = None,
    dtype: str | None = None,
    adapter: bool = False,
    realigned: Realigned | None = None,
) -> str:
    """Writes the directory and reads it back in a fresh process; returns a sentence on that.

    Args:
        name: what the card calls it, by default the directory's own name.
        dtype: of the weights there, such as bfloat16; by default as they are.
        adapter: a policy's adapter as PEFT loads it, not merged into its network.
        realigned: not the policy itself but its mixture with the one that it began from.

    Raises:
        Taken: the directory is there and not empty.
        NoModel: there is no such model, or it is no adapter.
        RunFailed: transformers alone reads other numbers; or the disk refused. Nothing is left.
    """
    check_free(to)
    if adapter:
        check_adapter(made, what)
    source, own_code = made.folder(what), trusts(made)["trust_remote_code"]
    rendering = rendering_of(source, made)
    with placed(to) as aside:
        # a reward model that a run stands on has a manifest of its own
        own = find(source) if what == "reward_model" else made
        called = name or to.absolute().name
        text = card.card(own, what, name=called, adapter=adapter, realigned=realigned)
        if realigned is not None and realigned.by == "decoding":
            sentence = _pair(made, aside, rendering, realigned.weight, dtype, own_code)
        else:
            model = loaded(made, what, rendering, dtype, adapter, realigned)
            rows = rows_of(rendering, model)
            ours = expected(model, rows)
            write(made, model, aside, rendering)
            sentence = check(aside, model, rendering, rows, ours, own_code=own_code)
        write_text(aside / card.NAME, text)
    if adapter and Path(base := _base(made).path).is_absolute():
        sentence += (
            f"\nits network is the folder {base}, by its place on this computer: where it lies"
            " elsewhere, write that place (or a name on the hub) as base_model_name_or_path into"
            " adapter_config.json"
        )
    return sentence


def _pair(
    made: Made,
    folder: Path,
    rendering: Rendering,
    weight: float,
    dtype: str | None,
    own_code: bool,
) -> str:
    """Policy, reference and their decoder; returns a sentence on what is read of them."""
    models = both(made, rendering, dtype)
    rows = rows_of(rendering, models[0])
    ours = greedy(models, made, rendering, rows, weight)
    narrow = models[0].dtype in (torch.bfloat16, torch.float16)
    for name, model in zip((POLICY, REFERENCE), models, strict=True):
        write(made, model, folder / name, rendering)
    add_decoder(folder, weight)
    return check_decoder(folder, rendering, rows, ours, narrow=narrow, own_code=own_code)


@contextmanager
def placed(to: Path) -> Iterator[Path]:
    """A new folder aside, which is `to` when this ends, and not there where it fails."""
    aside = aside_of(to.absolute())
    with writing(to):
        to.absolute().parent.mkdir(parents=True, exist_ok=True)
        clear_strays_of(to)
        aside.mkdir()
    try:
        yield aside
        if to.is_dir():
            to.rmdir()  # it is empty
        os.rename(aside, to)
        sync_directory(to.absolute().parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def clear_strays_of(to: Path) -> None:
    """Deletes what a killed export left beside this place."""
    for stray in strays(to.absolute().parent):
        if stray.name.startswith(f".{to.name}.") and stray.is_dir():
            shutil.rmtree(stray, ignore_errors=True)


def check_adapter(made: Made, what: What) -> None:
    """
    Raises:
        NoModel: there is no policy's adapter to export.
    """
    if what != "policy":
        raise NoModel("--adapter is of a policy: a reward model is exported merged")
    if not is_adapter(made.folder(what)):
        raise NoModel(
            f"{made.folder(what)} holds all weights of the policy and no adapter: export it without"
            " --adapter"
        )


def loaded(
    made: Made,
    what: What,
    rendering: Rendering,
    dtype: str | None,
    adapter: bool = False,
    realigned: Realigned | None = None,
) -> Readable:
    """The model as we read it, in the type that is asked for."""
    if realigned is not None:
        return between(made, rendering, realigned.weight, dtype)
    place = networks(made, rendering.tokenizer, views=adapter)
    model: Readable
    if what == "policy":
        model = place.policy(made.folder(what))
    else:
        scalar = place.scalar(made.folder(what))
        assert isinstance(scalar, ScalarModel)
        scalar.fold()  # before weights are rounded to another type
        model = scalar
    return model if dtype is None else model.to(getattr(torch, dtype))


def write(made: Made, model: Readable, folder: Path, rendering: Rendering) -> None:
    """Weights, configurations and tokenizer, with the template that was trained.

    A policy's head with more rows than the tokenizer has ids loses them: training leaves them out
    of the distribution, and transformers alone would not. A reward model's directory of before
    0.2.0 gets a pad that ends no text.
    """
    tokenizer = rendering.tokenizer
    tokenizer.chat_template = rendering.template.text
    if isinstance(model, ScalarModel):
        model.save(folder, tokenizer, stop_ids=rendering.stop_ids)
        return
    if isinstance(model, PolicyView):
        tokenizer.padding_side = "left"
        write_beside(model, tokenizer, folder, base=_base(made))
        generation(made, rendering).save_pretrained(folder)
        return
    size = vocabulary_size(tokenizer)
    if size < embedding_rows(model):
        model.resize_token_embeddings(size)
    model.generation_config = generation(made, rendering)
    tokenizer.padding_side = "left"  # as responses are drawn
    with saving(folder, model):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _base(made: Made) -> Base:
    from huggingface_hub import constants

    return known_as(base_of(made.folder("policy")), constants.HF_HUB_CACHE)


def generation(made: Made, rendering: Rendering) -> GenerationConfig:
    """Every id that ends a response, and the run's sampling. Ids that no text has are not drawn."""
    drawn = made.config.get("generation") or {}
    sampling = {key: drawn[key] for key in SAMPLING if key in drawn}
    texts = [str(text) for text in drawn.get("stop") or ()]
    gaps = textless_ids(rendering.tokenizer)
    return GenerationConfig(
        do_sample=True,
        bos_token_id=rendering.tokenizer.bos_token_id,
        eos_token_id=list(rendering.stop_ids),
        pad_token_id=rendering.pad_id,
        **sampling,
        **({"stop_strings": texts} if texts else {}),
        **({"suppress_tokens": gaps} if gaps else {}),
    )
