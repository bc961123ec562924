"""Settings of a launcher and a sweeper that another was chosen in place of."""

from dataclasses import dataclass
from functools import partial

import pytest
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode

from rlhf.config.composition.composer import Composer
from rlhf.config.composition.hydra_internals import settings_in_files, stored
from rlhf.config.composition.judged.others import settings_of_others, take_away
from rlhf.config.composition.overrides import Groups
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import session

QUICKSTART = (
    "hydra.launcher.jobs=2 is for hydra/launcher=local: left out, as {} has no such setting"
)


@dataclass
class Typed:
    """How plugins store a launcher's settings: no file can add a key to them."""

    _target_: str = "hydra_plugins.tests.Typed"
    queue: str = "short"


@dataclass
class WithJobs(Typed):
    jobs: int = 3


@pytest.fixture
def of_plugins():
    for option in (Typed, WithJobs):
        ConfigStore.instance().store(
            group="hydra/launcher", name=option.__name__.lower(), node=option
        )
    yield
    for option in (Typed, WithJobs):
        del stored("launcher")[f"{option.__name__.lower()}.yaml"]


def planned(*lines, multirun=False, own=None):
    with session(own) as hydra:
        return plan(hydra, lines, multirun=multirun)


@pytest.mark.parametrize(
    ("launcher", "at_once"),
    [
        ("basic", 1),
        ("joblib", 2),
        ("ray", None),
        ("submitit_local", None),
        ("submitit_slurm", 64),
    ],
)
def test_an_experiments_jobs_are_for_the_local_launcher_alone(launcher, at_once):
    it = planned("experiment=quickstart", f"hydra/launcher={launcher}")
    assert (it.faults, it.warnings) == ([], [QUICKSTART.format(launcher)])
    assert (len(it.jobs), it.at_once) == (5, at_once)


def test_the_launcher_that_an_experiment_means_keeps_them():
    it = planned("experiment=quickstart")
    assert (it.faults, it.warnings, it.others, it.at_once) == ([], [], [], 2)


def test_launchers_that_plugins_store(of_plugins):
    it = planned("experiment=quickstart", "hydra/launcher=typed")
    assert it.faults == []
    assert it.warnings == [QUICKSTART.format("typed").replace("local", "local or withjobs")]
    it = planned("experiment=quickstart", "hydra/launcher=withjobs", "hydra.launcher.jobs=7")
    assert (it.faults, it.warnings, it.at_once) == ([], [], 7)


def test_every_setting_of_the_local_one_and_of_those_of_others(tmp_path):
    """As a user's own experiment sets them; a name that no option has is left to the class."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /hydra/launcher: joblib\n"
        "hydra:\n  mode: MULTIRUN\n  launcher:\n    n_jobs: 3\n    grace: 1s\n    own: 1\n"
    )
    for launcher, foreign in (
        ("joblib", {"grace"}),
        ("local", {"n_jobs"}),
        ("basic", {"n_jobs", "grace"}),
    ):
        with session(tmp_path) as hydra:
            lines = ["experiment=mine", f"hydra/launcher={launcher}"]
            it = plan(hydra, lines)
            config = hydra.compose_config("config", lines, RunMode.MULTIRUN, False)
        assert {setting.key for setting in it.others} == foreign
        take_away(config, it.others)
        assert config.hydra.launcher.own == 1 and not foreign & set(config.hydra.launcher)


def test_an_option_that_begins_with_another_has_its_settings(tmp_path):
    folder = tmp_path / "hydra" / "launcher"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("defaults:\n  - local\n  - _self_\ngrace: 2s\n")
    it = planned("experiment=quickstart", "hydra/launcher=mine", own=tmp_path)
    assert (it.faults, it.others, it.at_once) == ([], [], 2)


def test_a_searchs_target_is_for_no_other_sweeper():
    it = planned("experiment=find_coef_for_kl", "hydra/sweeper=optuna")
    said = "hydra.sweeper.target=5.0 is for hydra/sweeper=find: left out, as optuna has no such"
    assert it.faults == [] and it.warnings == [f"{said} setting"]
    (fault,) = planned("experiment=find_coef_for_kl", "hydra/sweeper=basic").faults
    assert fault.endswith(
        "an interval is for a search: hydra/sweeper=find or hydra/sweeper=optuna; or list the"
        " values"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hydra.launcher.jobs=2", "hydra/launcher=basic has no such setting; hydra/launcher=local"),
        ("hydra.launcher.n_jobs=2", "hydra/launcher=basic has no such setting; hydra/launcher=job"),
        ("hydra.sweeper.max_batch=2", "hydra/sweeper=basic has no such setting; did you mean max_"),
        ("hydra.sweeper.target=2", "hydra/sweeper=basic has no such setting; hydra/sweeper=find"),
    ],
)
def test_on_the_command_line_they_are_refused_with_the_option_that_has_them(line, reason):
    for lines in (("hydra/launcher=basic", line), (line, "hydra/launcher=basic")):
        (fault,) = planned(*lines, "seed=0,1", multirun=True).faults
        assert fault.startswith(f"{line}: {reason}")


@pytest.mark.slow
def test_every_experiment_goes_with_hydras_own_launcher_and_sweeper():
    """None sets anything that they neither have nor leave to others."""
    with session() as hydra:
        composer = Composer(hydra, Groups(hydra.config_loader))
        experiments = composer.groups.options("experiment")
        for experiment in experiments:
            faults = []
            chosen = ("hydra/launcher=basic", "hydra/sweeper=basic", f"experiment={experiment}")
            config = composer.base(chosen, faults)
            assert faults == [], experiment
            written = partial(settings_in_files, sources=config.hydra.runtime.config_sources)
            take_away(config, [*settings_of_others(config, composer.groups.options, written)])
            assert set(config.hydra.launcher) == {"_target_"}, experiment
            assert set(config.hydra.sweeper) == {"_target_", "max_batch_size", "params"}, experiment
    assert len(experiments) > 15
