"""The searches on problems whose answer is known: a launcher of this file computes what a run
would measure."""

import importlib.util
import json
import os
import signal
from pathlib import Path

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode

from rlhf.commands.runs import run as cli
from rlhf.config.composition.hydra_internals import register_plugin
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import CONFIG_NAME, session
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.lock import owned
from rlhf.sweeps.launchers.local import LocalLauncher
from rlhf.sweeps.multirun import sweep
from rlhf.sweeps.searches.find import FindSweeper

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="hydra/sweeper=optuna is an extra"
)


class Formula(Launcher):
    """KL = 0.5 / coef + seed / 100, gold = 2 - KL / 10; coefficients above 0.3 fail."""

    calls: list[list[str]] = []

    def setup(self, *, hydra_context, task_function, config):
        pass

    def launch(self, job_overrides, initial_job_idx):
        return [self.one(list(overrides)) for overrides in job_overrides]

    def one(self, overrides):
        self.calls.append(overrides)
        given = dict(line.split("=") for line in overrides)
        coef, seed = float(given["kl.coef"]), int(given.get("seed", 0))
        result = JobReturn(overrides=overrides)
        kl = 0.5 / coef + seed / 100
        bad = coef > 0.3
        result.status = JobStatus.FAILED if bad else JobStatus.COMPLETED
        result.return_value = (
            "a bad day"
            if bad
            else {"kl/sequence_nats": kl, "kl/sequence_nats_se": 0.001, "reward/gold": 2 - kl / 10}
        )
        return result


@pytest.fixture
def search(tmp_path, monkeypatch):
    """search(*overrides) -> (exit code, what the search wrote)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "my" / "hydra" / "launcher" / "formula.yaml").write_text(
        "_target_: hydra_plugins.tests.Formula\n"
    )
    monkeypatch.setitem(
        Plugins.instance().class_name_to_class, "hydra_plugins.tests.Formula", Formula
    )
    monkeypatch.setattr(Formula, "calls", [])

    def go(*overrides):
        lines = [*overrides, "hydra/launcher=formula", "tracking=none", "sweep=s"]
        with session(tmp_path / "my") as hydra:
            found = plan(hydra, lines, multirun=True)
            assert found.faults == []
            code, directory = sweep(hydra, found, lines, cli.task)
        written = next(
            iter(sorted([*directory.glob("optuna.json"), *directory.glob("find.json")])), None
        )
        return code, json.loads(written.read_text()) if written else {}

    return go


FIND = ["hydra/sweeper=find", "kl.coef=tag(log, interval(0.02, 0.29))"]


def test_the_coefficient_for_a_kl(search):
    code, written = search(*FIND, "hydra.sweeper.target=5")
    assert code == 0
    assert written["found"] == pytest.approx(0.1, rel=1e-3)
    assert [point["x"] for point in written["points"]][:2] == [0.02, 0.29]
    assert len(Formula.calls) == len(written["points"]) == 3


def test_lists_beside_it_are_averaged(search):
    """Seeds 0, 1 and 2 add 0, 0.01 and 0.02 to the KL: their mean meets the target."""
    code, written = search(
        *FIND, "hydra.sweeper.target=5.01", "hydra.sweeper.tolerance=0.001", "seed=0,1,2"
    )
    assert code == 0
    assert written["nearest"]["y"] == pytest.approx(5.01, rel=0.002)
    assert len(Formula.calls) == 3 * len(written["points"])
    spread = 0.01 / 3**0.5  # of three numbers 0.01 apart, over the root of three
    assert written["points"][0]["error"] == pytest.approx(spread)


def test_a_target_outside_the_interval(search, capsys):
    code, written = search(*FIND, "hydra.sweeper.target=40")
    assert code == 1
    assert written["found"] is None
    assert "40 is not between; widen the interval" in capsys.readouterr().err


def test_a_failed_point_ends_it_with_the_reason(search, capsys):
    code, _ = search("hydra/sweeper=find", "kl.coef=tag(log, interval(0.02, 0.35))")
    assert code == 1
    assert "the search stops here: a bad day" in capsys.readouterr().err


def test_ends_of_many_digits(search):
    code, written = search("hydra/sweeper=find", "kl.coef=tag(log, interval(0.0212345, 0.2912345))")
    assert code == 0
    assert [point["x"] for point in written["points"]][:2] == [0.0212345, 0.2912345]
    assert written["found"] == pytest.approx(0.1, rel=1e-3)


def test_a_good_point_is_the_answer_though_another_is_nearer_as_a_ratio(search):
    """25 and 1.72 for 7 within 5.6: the second is 5.28 away, though 7 / 1.72 > 25 / 7."""
    code, written = search(*FIND, "hydra.sweeper.target=7", "hydra.sweeper.tolerance=0.8")
    assert (code, written["found"], len(written["points"])) == (0, 0.29, 2)


def test_jobs_that_are_the_same_run_are_run_and_counted_once(search, capsys):
    """Seeds 0 and 1 add 0 and 0.01 to the KL; a third measurement of the first would pull the
    mean to it, and shrink the error."""
    code, written = search(*FIND, "hydra.sweeper.target=5", "seed=0,1,0")
    assert code == 0
    assert len(Formula.calls) == 2 * len(written["points"]) == 6
    assert written["points"][0]["y"] == pytest.approx(25.005)
    assert written["points"][0]["error"] == pytest.approx(0.005)
    assert (
        "1 of the 3 runs there would be the same run again, and a run counts once"
        in capsys.readouterr().err
    )


def test_a_search_elsewhere_holds_the_sweep_and_says_so(search, monkeypatch, capsys):
    told = []

    def look(self, job_overrides, initial_job_idx):
        told.append(json.loads(Path("sweeps/s/launcher.json").read_text())["working"])
        with pytest.raises(RunFailed), owned(Path("sweeps/s")):
            pass
        return [self.one(list(overrides)) for overrides in job_overrides]

    monkeypatch.setattr(Formula, "launch", look)
    assert search(*FIND, "hydra.sweeper.target=5")[0] == 0
    assert told == [True, True]
    assert json.loads(Path("sweeps/s/launcher.json").read_text())["working"] is False
    assert "3 jobs in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_ends_a_search_elsewhere(search, monkeypatch, number, code):
    monkeypatch.setattr(Formula, "one", lambda self, overrides: os.kill(os.getpid(), number))
    # a shell's background jobs ignore it
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    # else the test would be killed
    before = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as stop:
            search(*FIND)
    finally:
        for each, handler in {**before, signal.SIGINT: ctrl_c}.items():
            signal.signal(each, handler)
    assert stop.value.code == code
    assert json.loads(Path("sweeps/s/launcher.json").read_text())["working"] is False


def give_up(self, job_overrides, initial_job_idx):
    raise RuntimeError("the cluster is gone")


def test_a_launcher_that_gives_up_ends_it_with_the_reason(search, monkeypatch, capsys):
    monkeypatch.setattr(Formula, "launch", give_up)
    assert search(*FIND)[0] == 1
    assert (
        "the search stops here: the launcher gave up: RuntimeError: the cluster is gone"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("hydra.sweeper.target=-1", "target=-1"),
        ("hydra.sweeper.n_points=2", "n_points=2"),
        ("kl.coef=interval(0.1,1)", "varies one setting"),
    ],
)
def test_settings_of_the_search_are_checked(setting, said, search):
    with pytest.raises(Exception, match=said):
        search(*FIND, setting)
    assert Formula.calls == []


OPTUNA = ["hydra/sweeper=optuna", "kl.coef=tag(log, interval(0.05, 1))"]


@needs_optuna
def test_one_objective_and_failed_trials(search):
    one = [
        "hydra.sweeper.objectives=[reward/gold]",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.sampler=random",
    ]
    code, written = search(*OPTUNA, *one, "hydra.sweeper.n_trials=6")
    assert code == 0
    assert len(written["trials"]) == 6
    failed = [trial for trial in written["trials"] if trial["state"] == "fail"]
    assert failed
    assert all(
        trial["params"]["kl.coef"] > 0.3 and trial["error"] == "a bad day" for trial in failed
    )
    best = max(
        (trial for trial in written["trials"] if trial["state"] == "complete"),
        key=lambda trial: trial["params"]["kl.coef"],
    )
    assert written["front"] == [best["number"]]


@needs_optuna
def test_the_same_command_goes_on(search):
    two = [*OPTUNA, "kl/controller=choice(fixed,adaptive)", "hydra.sweeper.n_jobs=3"]
    search(*two, "hydra.sweeper.n_trials=4")
    assert len(Formula.calls) == 4
    _, written = search(*two, "hydra.sweeper.n_trials=7")
    assert len(Formula.calls) == len(written["trials"]) == 7
    assert len({tuple(call) for call in Formula.calls}) == 7
    search(*two, "hydra.sweeper.n_trials=7")
    assert len(Formula.calls) == 7
    assert written["directions"] == ["maximize", "minimize"]
    best = max(
        (t for t in written["trials"] if t["values"]),
        key=lambda trial: trial["values"]["reward/gold"],
    )
    assert best["front"]


@needs_optuna
def test_a_trial_that_was_cut_is_tried_again(search, monkeypatch):
    def cut(self, overrides):
        raise SystemExit(143)

    with monkeypatch.context() as broken:
        broken.setattr(Formula, "one", cut)
        with pytest.raises(SystemExit):
            search(*OPTUNA, "hydra.sweeper.n_trials=2")
    _, written = search(*OPTUNA, "hydra.sweeper.n_trials=2")
    first, second = (trial["params"] for trial in written["trials"][:2])
    assert [trial["params"] for trial in written["trials"][2:]] == [first, second]
    assert len(Formula.calls) == 2


@needs_optuna
def test_a_launcher_that_gives_up_makes_failed_trials(search, monkeypatch, capsys):
    monkeypatch.setattr(Formula, "launch", give_up)
    code, written = search(*OPTUNA, "hydra.sweeper.n_trials=2")
    assert code == 1
    assert [trial["error"] for trial in written["trials"]] == [
        "the launcher gave up: RuntimeError: the cluster is gone"
    ] * 2
    assert "no trial finished" in capsys.readouterr().err


@needs_optuna
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["kl/controller=fixed,adaptive", "hydra.sweeper.direction=[minimize,minimize]"],
            "with other directions; take another",
        ),
        (
            ["kl/controller=fixed,adaptive,pid"],
            (
                "kl/controller from CategoricalDistribution(choices=('fixed', 'adaptive')), which"
                " cannot become"
            ),
        ),
    ],
)
def test_another_search_of_the_same_name_is_refused(more, said, search, capsys):
    search(*OPTUNA, "kl/controller=fixed,adaptive", "hydra.sweeper.n_trials=1")
    assert search(*OPTUNA, *more, "hydra.sweeper.n_trials=2")[0] == 1
    assert said in capsys.readouterr().err
    assert len(Formula.calls) == 1


@needs_optuna
def test_trials_of_another_directory_on_the_same_storage_are_left_alone(search, monkeypatch):
    def cut(self, overrides):
        raise SystemExit(143)

    shared = [
        *OPTUNA,
        f"hydra.sweeper.storage='sqlite:///{Path.cwd()}/shared.db'",
        "hydra.sweeper.n_jobs=1",
    ]
    with monkeypatch.context() as broken:
        broken.setattr(Formula, "one", cut)
        with pytest.raises(SystemExit):
            search(*shared, "hydra.sweeper.n_trials=1")
    with monkeypatch.context() as away:
        away.chdir(Path("my"))  # its own sweeps/s
        _, other = search(*shared, "hydra.sweeper.n_trials=1")
    assert [trial["state"] for trial in other["trials"]][0] == "running"
    _, own = search(*shared, "hydra.sweeper.n_trials=2")
    assert [trial["state"] for trial in own["trials"]][0] == "fail"
    assert own["trials"][2]["params"] == own["trials"][0]["params"]


@needs_optuna
def test_a_config_that_is_wrong_is_a_failed_trial(search):
    """Both ends of the interval are fine; 20 of the sizes between do not divide the rollout."""
    lines = [
        *OPTUNA,
        "ppo.minibatch_size=int(interval(32, 64))",
        "ppo.rollout_size=64",
        "hydra.sweeper.n_trials=4",
    ]
    code, written = search(*lines, "hydra.sweeper.sampler=random")
    wrong = [
        trial
        for trial in written["trials"]
        if trial["params"]["ppo.minibatch_size"] not in (32, 64)
    ]
    assert wrong
    assert all("does not divide" in trial["error"] for trial in wrong)
    assert len(Formula.calls) == 4 - len(wrong)


@needs_optuna
@pytest.mark.parametrize(
    "setting", ["sampler=best", "direction=[up,down]", "direction=maximize", "n_trials=0"]
)
def test_optunas_settings_are_checked(setting, search):
    with pytest.raises(Exception, match="expected"):
        search(*OPTUNA, f"hydra.sweeper.{setting}")


def test_every_trial_is_asked_for_a_models_own_code(tmp_path):
    """A value between the ends, which the command line has not composed."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "theirs.yaml").write_text(
        "# @package _global_\ndefaults: [{override /model: hf}, {override /hydra/sweeper: find}]\n"
        "hydra: {job_logging: {spare: {s5: true}}}\n"
        "model: {path: theirs,"
        " trust_remote_code: '${oc.select:hydra.job_logging.spare.s${seed},false}'}\n"
    )
    words = ["experiment=theirs", "seed=interval(0,10)"]
    with session(tmp_path) as hydra:
        register_plugin(LocalLauncher, "hydra_plugins.rlhf.LocalLauncher")
        config = hydra.compose_config(
            CONFIG_NAME,
            [*words, "hydra.mode=MULTIRUN"],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
        sweeper = FindSweeper("kl/sequence_nats", target=5, tolerance=0.1, n_points=3)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
        sweeper.setup(hydra_context=context, task_function=None, config=config)
        _, wrong = sweeper._checked(["experiment=theirs", "seed=4"])
        (trial,) = sweeper.run([["experiment=theirs", "seed=5"]])
    assert wrong == []
    assert trial.error.startswith("model.trust_remote_code=true: decides what is run")
