"""What the server that jobs are forked from is told before the first of them: their configs. No
torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.config.properties import needed_stages
from rlhf.config.schema import Config
from rlhf.digests import digest, one_spelling

VARIABLE = "RLHF_COMMON"  # of the server's environment: where it reads the configs
MOST = 8  # different ones that it is told
# what rows, ids and the report on them follow from, beside the names of the run's stages
SECTIONS = ("data", "model", "adapter", "generation", "sft", "reward_model")


def sections(cfg: Config) -> dict[str, Any]:
    """The part of a config that `rlhf.runs.common.made` follows from: no seed, no KL."""
    plain: dict[str, Any] = {
        name: getattr(cfg, name).model_dump(by_alias=True, mode="json") for name in SECTIONS
    }
    for name in ("sft", "reward_model"):
        plain[name].pop("seed")
    stages = [stage.name for stage in needed_stages(cfg)]
    whole: dict[str, Any] = one_spelling({**plain, "stages": stages})
    return whole


def distinct(configs: Iterable[Config]) -> list[Config]:
    """The first config of each that differ in their `sections`; at most `MOST`."""
    firsts: dict[str, Config] = {}
    for cfg in configs:
        firsts.setdefault(digest(sections(cfg)), cfg)
    return [*firsts.values()][:MOST]


@contextmanager
def telling(configs: Sequence[Config]) -> Iterator[None]:
    """A server that starts meanwhile can read the configs: from memory of this process, as a secret
    may stand in one. Where the system has no such files it is told nothing."""
    if not configs or not hasattr(os, "memfd_create"):
        yield
        return
    file = os.memfd_create("configs")
    try:
        content = json.dumps([cfg.plain() for cfg in distinct(configs)]).encode()
        with os.fdopen(os.dup(file), "wb") as stream:
            stream.write(content)
        os.environ[VARIABLE] = f"/proc/{os.getpid()}/fd/{file}"
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        os.close(file)


def told() -> list[dict[str, Any]]:
    """The configs that this process was told of, plain; none where it was not."""
    place = os.environ.pop(VARIABLE, None)
    plain: list[dict[str, Any]] = json.loads(Path(place).read_bytes()) if place else []
    return plain
