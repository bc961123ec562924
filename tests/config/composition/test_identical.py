"""A plan composes what its jobs share once. What it gives is what composing each job by itself
gives, of every experiment."""

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.composition.composer import Composer
from rlhf.config.composition.overrides import Groups
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import session
from rlhf.config.plugins.folders import conf_dir

FOLDER = conf_dir() / "experiment"
EXPERIMENTS = sorted(
    str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml")
)
GRIDS = [
    ["kl.coef=0.1,0.2", "seed=0,1"],
    ["study=a,b", "seed=0,1"],  # the folder and the tracker's experiment follow
    ["kl/controller=linear,cosine", "ppo.iterations=5,7"],  # an interpolation follows
    ["kl/controller=pid,adaptive", "kl=grpo,ziegler", "kl.controller.target=3"],
    ["ppo.optimizer.betas=[0.9,0.99],[0.8,0.9]", "kl.coef=0,0.1"],
    ["ppo.value_lr=null,0.1", "ppo.grad_clip=1.0,null"],
    ["~callbacks.progress", "seed=0,1"],
    ["data=micro,reviews", "generation.max_new_tokens=2,3"],
    ["kl.coef=${ppo.optimizer.lr}", "ppo.optimizer.lr=0.1,0.2"],
    ["sweep=mine", "rerun=true,false"],
]


def alone(overrides):
    """The config of a job, composed by itself; what names the sweep is the command's affair."""
    plain = validate(compose(overrides)).plain()
    del plain["paths"]["sweep_dir"]
    return plain


def of(job):
    plain = job.config.plain()
    del plain["paths"]["sweep_dir"]
    return plain


@pytest.mark.parametrize("lines", GRIDS, ids=" ".join)
def test_a_grid(planned, lines):
    found = planned(*lines, multirun=True)
    assert found.faults == [] and len(found.jobs) >= 2
    for job in found.jobs:
        assert of(job) == alone(job.overrides)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment(planned, experiment):
    """Its first job and its last, which may be the same."""
    found = planned(f"experiment={experiment}")
    assert found.faults == []
    for job in found.jobs[:: max(len(found.jobs) - 1, 1)]:
        assert of(job) == alone(job.overrides)


def test_faults_are_those_of_each_job(planned):
    lines = ["kl.coef=0.1,-1,abc", "ppo.minibatch_size=64,7"]
    found = planned(*lines, multirun=True)
    told = {fault.partition("  [")[0] for fault in found.faults}
    singly = {fault for job in found.jobs for fault in planned(*job.overrides).faults}
    assert told == singly
    assert [job.config is None for job in found.jobs] == [
        bool(planned(*job.overrides).faults) for job in found.jobs
    ]


def test_what_jobs_share_is_made_once():
    """400 jobs: Hydra composes one config, and one copy of it serves them all."""
    with session() as hydra:
        own = Composer(hydra, Groups(hydra.config_loader))
        lines = ["seed=range(0,400)", "kl.coef=0.1"]
        found = plan(hydra, lines, multirun=True, composer=own)
    assert found.faults == [] and len(found.jobs) == 400
    assert (len(own._bases), len(own._drafts)) == (1, 1)
    assert len({job.config.paths.run_name for job in found.jobs}) == 400
