"""Trains a Lightning module as the stages do, without their files: on a list of batches, or a
loader."""

import pytorch_lightning as pl
from torch.utils.data import DataLoader


def fit(module, batches, accumulate=1, clip=None):
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=module.iterations,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(batches, batch_size=None) if isinstance(batches, list) else batches
    trainer.fit(module, loader)
    return module
