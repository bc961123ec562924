import pytest
import yaml

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.naming import named, named_flat, run_hash, slug
from rlhf.config.pieces.base import BY_ADDRESS, piece_name
from rlhf.config.plugins.folders import conf_dir

# options that are another option of their group with other values
VARIANTS = {
    "advantage/dr_grpo": "grpo",
    "advantage/exact": "gae",
    "advantage/monte_carlo": "gae",
}


def node(path):
    """The piece of a YAML: all of it, or its own group's part where it brings more."""
    values = yaml.safe_load(path.read_text())
    if not isinstance(values, dict):
        return {}
    own = values.get(path.parent.name)
    return own if "_target_" not in values and isinstance(own, dict) else values


OURS = [
    (str(path.relative_to(conf_dir()).with_suffix("")), target)
    for path in sorted(conf_dir().rglob("*.yaml"))
    if (target := node(path).get("_target_")) in BY_ADDRESS
]


def test_the_walk_saw_every_piece():
    """Each model of a piece has an option; a piece of callbacks lies one level deeper."""
    seen = {BY_ADDRESS[target] for _, target in OURS}
    assert {piece.name for piece in {*BY_ADDRESS.values()} - seen} == {"progress", "oracle"}


@pytest.mark.parametrize(("option", "target"), OURS)
def test_a_piece_is_called_as_its_option(option, target):
    """Whatever a report shows can be chosen on the command line, and lives where it is said to."""
    name = option.rpartition("/")[2]
    assert piece_name({"_target_": target}) == VARIANTS.get(option, name)
    assert BY_ADDRESS[target].addresses[0] == target


@pytest.mark.parametrize("address", sorted(BY_ADDRESS))
def test_no_address_is_of_two_pieces(address):
    assert [piece for piece in {*BY_ADDRESS.values()} if address in piece.addresses] == [
        BY_ADDRESS[address]
    ]


def test_a_config_with_an_old_address_still_loads():
    plain = validate(compose(["trust_region=early_stop"])).plain()
    kept = {**plain, "trust_region": {**plain["trust_region"]}}
    kept["trust_region"]["_target_"] = "rlhf.trust_region.EarlyStop"
    assert run_hash(kept) == run_hash(plain)
    again = validate(kept)
    assert again.trust_region.class_path == "rlhf.modules.trust_region.EarlyStop"
    assert type(build(kept["trust_region"])).__name__ == "EarlyStop"


def test_moving_a_class_renames_no_run(monkeypatch):
    plain = validate(compose([])).plain()
    moved = {**plain, "scorer": {**plain["scorer"], "_target_": "rlhf.scoring.RewardModel"}}
    assert run_hash(moved) != run_hash(plain)  # nobody said that it moved there
    monkeypatch.setitem(BY_ADDRESS, "rlhf.scoring.RewardModel", type(validate(plain).scorer))
    assert run_hash(moved) == run_hash(plain)


def test_names_stand_in_for_classes():
    node = {"_target_": "rlhf.kl.controller.PID", "target": 6.0}
    own = {"_target_": "mine.K1", "_name_": "hellinger"}
    assert named({"kl": {"controller": node, "estimator": own}}) == {
        "kl": {"controller": {"piece": "pid", "target": 6.0}, "estimator": {"piece": "hellinger"}}
    }
    flat = {
        "kl.controller._target_": "rlhf.kl.controller.PID",
        "kl.controller.target": 6.0,
        "kl.estimator._target_": "mine.K1",
        "kl.estimator._name_": "hellinger",
        "ppo.eval_every": 5,
    }
    assert named_flat(flat) == {
        "kl.controller": "pid",
        "kl.controller.target": 6.0,
        "kl.estimator": "hellinger",
        "evaluation.every": 5,
    }


@pytest.fixture
def own_pieces(tmp_path, monkeypatch):
    """my_conf with a controller and an estimator of a user's own; the estimator is called K1."""
    (tmp_path / "guarded.py").write_text("""
class Mine:
    unit, target = "sequence", 5.0
    def __init__(self, coef, gain): self.coef, self.gain = coef, gain

class Other(Mine):
    pass

class K1:
    def __call__(self, logp, ref_logp, exact_kl=None): return (logp - ref_logp) ** 2 / 2
""")
    for option, text in {
        "controller/mine": "_target_: guarded.Mine\ngain: 0.1\n",
        "controller/team/mine": "_target_: guarded.Mine\ngain: 0.1\n",
        "estimator/hellinger": "_target_: guarded.K1\n",
    }.items():
        path = tmp_path / "my_conf" / "kl" / f"{option}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "guarded")
    return tmp_path / "my_conf"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["kl.coef=0", "kl/controller=mine"], "kl/controller=mine: it multiplies"),
        (
            ["kl/controller=mine", "generation.top_k=5", "kl/estimator=exact", "kl/placement=both"],
            "kl/controller=mine: it is steered",
        ),
        (["kl/reference=synced", "kl/controller=mine"], "kl/controller=mine: the KL falls back"),
        (["kl/estimator=hellinger", "kl/placement=both"], "kl/estimator=hellinger with"),
    ],
)
def test_a_users_own_piece_is_judged_like_ours(own_pieces, lines, reason):
    with pytest.raises(ValueError, match=reason):
        validate(compose(lines, config_dir=own_pieces))


def test_a_users_own_piece_goes_by_the_name_of_its_yaml(own_pieces):
    cfg = validate(compose(["kl/estimator=hellinger", "kl/placement=loss"], config_dir=own_pieces))
    assert cfg.kl.estimator.name == "hellinger"
    assert named(cfg.plain())["kl"]["estimator"] == {"piece": "hellinger"}
    moved = {**cfg.plain(), "kl": {**cfg.plain()["kl"]}}
    moved["kl"]["estimator"] = {"_target_": "elsewhere.Hellinger", "_name_": "hellinger"}
    assert run_hash(moved) == run_hash(cfg.plain())


@pytest.mark.parametrize(
    "lines",
    [
        ["kl/controller=fixed", "kl.controller._target_=guarded.Other", "+kl.controller.gain=0.1"],
        ["kl/controller=mine", "kl.controller._target_=guarded.Other"],
    ],
)
def test_a_class_that_no_yaml_chose_goes_by_its_address(own_pieces, lines):
    """Else it would have the run of the piece whose name it took."""
    other = validate(compose(lines, config_dir=own_pieces)).plain()
    assert named(other)["kl"]["controller"]["piece"] == "guarded.Other"
    assert slug(other) == "kl0.05-Other-seed0"
    mine = validate(compose(["kl/controller=mine"], config_dir=own_pieces)).plain()
    assert run_hash(other) != run_hash(mine)


def test_a_yaml_in_a_folder_of_its_group_names_a_run_that_is_one_folder(own_pieces):
    cfg = validate(compose(["kl/controller=team/mine"], config_dir=own_pieces))
    assert cfg.kl.controller.name == "team/mine"
    assert slug(cfg.plain()) == "kl0.05-team_mine-seed0"


def test_a_class_that_cannot_be_imported_is_told_at_once(own_pieces):
    (own_pieces / "kl" / "controller" / "mine.yaml").write_text("_target_: guarded.Absent\n")
    with pytest.raises(ValueError, match="guarded.Absent cannot be imported"):
        validate(compose(["kl/controller=mine"], config_dir=own_pieces))


def test_a_config_of_before_says_by_its_silence_what_it_could_not_choose():
    before = {"ppo.iterations": 2, "ppo.reward_clip": 10.0, "advantage.gamma": 1.0}
    assert named_flat(before) == {
        "algorithm": "ppo",
        "advantage": "gae",
        "adapter": "none",
        "annotator": "gold",
        "advantage.gamma": 1.0,
        "ppo.iterations": 2,
        "scorer.reward_clip": 10.0,
    }
