"""Trains a module as the stages do, alone or as one of two ranks that were forked."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy

from rlhf.models.sharding.whole import whole
from rlhf.modules.precision.plugin import precision_of
from rlhf.ranks.group import ALONE, Ranks
from rlhf.stages.ranks.sharded import ShardedStrategy
from rlhf.stages.ranks.strategy import Together
from tests.two_ranks import on_two_ranks


def sharded_strategy(ranks):
    return ShardedStrategy(
        data_parallel_size=ranks.size, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def train(module, batches, ranks=ALONE, clip=None, sharded=False, precision="32-true"):
    """The records of iterations 0, 1, ... and the weights at the end."""
    rows = []
    finish = module.finish_iteration

    def recorded():
        rows.append(finish())
        return rows[-1]

    module.finish_iteration = recorded
    module.ranks = ranks
    plugin = precision_of(precision)
    plugins = [] if plugin is None else [plugin]
    several = {"plugins": plugins}
    if ranks.size > 1:
        ddp = DDPStrategy(find_unused_parameters=module.leaves_some_untrained)
        several = {
            "strategy": sharded_strategy(ranks) if sharded else ddp,
            "plugins": [Together(ranks, ranks.size), *plugins],
        }
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=ranks.size,
        precision=precision if plugin is None else None,
        max_epochs=module.iterations,
        gradient_clip_val=clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **several,
    )
    trainer.fit(module, batches)
    weights = torch.cat([whole(p.detach()).flatten() for p in module.parameters()])
    return {"rows": rows, "weights": weights, "steps": trainer.global_step}


def as_rank(rank, make, how):
    """The same by one of two ranks."""
    module, batches = make()
    return train(module, batches, Ranks(rank=rank, size=2), clip=0.7, **how)


def alone_and_shared(make, **how):
    """The same training by one process, and by each of two ranks; `make()` gives the module and its
    batches, `how` more arguments of the ranks' `train`."""
    return train(*make(), clip=0.7), on_two_ranks(as_rank, make, how)


def alike_in_16_bits(weights, others):
    """Adam's first steps are of its rate, 0.01, whatever a gradient's size. In 16 bits small ones
    may have another sign, and now and then a token that is drawn at a near-tie is another."""
    gap = (weights - others).abs()
    assert float((gap < 2e-2).float().mean()) > 0.8 and float(gap.max()) < 0.2
