"""What a rank above 0 leaves to rank 0."""

from dataclasses import replace

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.records import Loaded
from rlhf.stages.adapted.base import kept_base
from rlhf.stages.context import StageContext
from rlhf.stages.ranks.team import Member
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
