import torch

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, last_checkpoint
from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule, with_initial_lr
from rlhf.rundir.files import read_jsonl
from rlhf.stages.fit import fit
from rlhf.tracking.base import NoTracker


class Line(StageModule):
    """One weight, three steps an iteration."""

    stage = "sft"

    def __init__(self):
        super().__init__(iterations=5, lr_schedule="constant", lr_warmup=0.0)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def configure_optimizers(self):
        return with_initial_lr(torch.optim.Adam([self.weight], lr=0.1))

    def training_step(self, batch, batch_idx):
        return (self.weight - batch).square().sum()

    def finish_iteration(self):
        return {"weight": float(self.weight)}


def test_checkpoint_step(tmp_path):
    """The checkpoint named n has n iterations and 3 n optimizer steps, and the last iteration
    always has one."""
    settings = Trainer(accelerator="cpu", precision="32-true", threads=1)
    batches = torch.utils.data.DataLoader(torch.ones(3))
    places = {"directory": tmp_path, "status_in": tmp_path}
    fit(
        Line(),
        batches,
        **places,
        settings=settings,
        grad_clip=None,
        checkpoint_every=2,
        tracker=NoTracker(),
    )
    paths = sorted((tmp_path / "checkpoints").glob("*.ckpt"))
    assert [path.name for path in paths] == [
        "iteration-000004.ckpt",
        "iteration-000005.ckpt",
    ] and last_checkpoint(tmp_path) == paths[-1]
    recorded = {
        row["iteration"]: row.get("weight") for row in read_jsonl(tmp_path / "metrics.jsonl")
    }
    for path, n in zip(paths, (4, 5), strict=True):
        state = AtomicCheckpointIO().load_checkpoint(path)
        assert state["rlhf"]["iteration"] == n
        assert int(state["optimizer_states"][0]["state"][0]["step"]) == 3 * n
        assert float(state["state_dict"]["weight"]) == recorded[n]
