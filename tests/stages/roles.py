"""Callbacks that look at a run's networks while it trains."""

import gc

import pytorch_lightning as pl
from transformers import PreTrainedModel

SEEN = {}


def whole_networks():
    """The networks in memory that are part of no other."""
    every = [each for each in gc.get_objects() if issubclass(type(each), PreTrainedModel)]
    inner = {id(part) for each in every for part in each.modules() if part is not each}
    return [each for each in every if id(each) not in inner]


class Alive(pl.Callback):
    """Stage -> the networks in memory while it trains, by id and kind."""

    def on_train_start(self, trainer, module):
        SEEN[module.stage] = {id(each): type(each).__name__ for each in whole_networks()}


class Places(pl.Callback):
    """Where in a cache line the weights of policy and reference lie."""

    def on_train_start(self, trainer, module):
        if module.stage == "ppo":
            models = (module.policy, module.parts.reference.model, module.parts.start.model)
            SEEN["places"] = [[p.data_ptr() % 64 for p in m.parameters()] for m in models]
            SEEN["same"] = models[1] is models[2]
