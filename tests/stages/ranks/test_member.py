"""What a rank above 0 leaves to rank 0."""

import logging
import warnings
from dataclasses import replace

import torch
import torch.distributed as dist

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.records import Loaded
from rlhf.stages.adapted.base import kept_base
from rlhf.stages.context import StageContext
from rlhf.stages.ranks.meeting import Meeting, Place
from rlhf.stages.ranks.team import Member
from rlhf.stages.ranks.worker import serve
from tests.conftest import SMALL


def test_the_network_below_adapters_is_written_by_rank_0_alone(tmp_path):
    cfg = validate(compose([*SMALL, "model/adapter=lora", f"paths.artifacts={tmp_path / 'a'}"]))
    loaded = Loaded.of(build(cfg.data))
    leader = StageContext(cfg=cfg, **loaded._asdict(), run_directory=tmp_path)
    member = replace(leader, team=Member(None, 0))
    model = leader.model.causal_lm(leader.tokenizer)
    base = kept_base(member, member.model, model)
    assert [*tmp_path.iterdir()] == []
    assert kept_base(leader, leader.model, model) == base
    assert (tmp_path / "a" / "backbone" / base.path.split("/")[-1] / "config.json").is_file()


def test_what_a_rank_changes_of_its_process_it_puts_back():
    """A script under torchrun goes on after a run."""
    cfg = validate(compose([*SMALL, "trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=2"]))
    meeting = Meeting(dist.HashStore(), Place(rank=1, size=2, local_rank=1))
    meeting.ask(0, None)

    def state():
        return logging.root.manager.disable, warnings.filters[:], torch.get_num_threads()

    before = state()
    assert serve(cfg, meeting) == 0 and state() == before
