import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hydra.types import RunMode

from rlhf.commands.parts.launched import command
from rlhf.commands.runs import run as cli

ROOT = Path(__file__).parents[3]
TINY = [
    "data=micro",
    "data.demonstrations=60",
    "data.pairs=30",
    "data.prompts=3",
    "model.hidden_size=16",
    "sft.epochs=1",
    "reward_model.epochs=1",
]
TINY += [
    "reward_model.normalize_samples=16",
    "ppo.iterations=2",
    "ppo.rollout_size=16",
    "ppo.minibatch_size=8",
    "evaluation.every=1",
]
TINY += ["evaluation.prompts=8", "ppo.checkpoint_every=1", "tracking=none"]

PROBE = """
import sys, time
sys.argv = ["rlhf", *{arguments!r}]
from rlhf.__main__ import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
heavy = {{"torch", "transformers", "pytorch_lightning", "mlflow", "pandas", "sklearn"}}
heavy = (heavy | {{"altair", "vl_convert"}}) & set(sys.modules)
print("RESULT", code, sorted(heavy), time.process_time())
"""


def rlhf(*arguments, cwd, **environment):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "rlhf", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help", "kl=grpo"], 0, "kl/controller: adaptive, adaptive_alpaca_farm"),
        (["--help"], 0, "a sweep, a run or a stage again"),
        (["run", "--help"], 0, "Exit codes: 0 done; 1 a run failed"),
        (["run", "--cfg", "job"], 0, "coef: 0.05"),
        (["comapre", "sweeps/s"], 2, "rlhf: comapre is no subcommand; did you mean compare?"),
        (["kl.coef"], 2, "rlhf config kl.coef says what can be set there"),
        (["quickstart"], 2, "did you mean rlhf experiment=quickstart?"),
        (["train"], 2, "did you mean rlhf run?"),
        (["nonsense"], 2, "a setting is written key=value"),
        (["seed=0,1", "--cfg", "job"], 2, "seed=0,1: several values make a sweep; add -m"),
        (["--cfg", "job"], 0, "coef: 0.05"),
        (
            ["-m", "kl.coef=0,1", "--cfg", "job", "seed=3"],
            0,
            "# job 1 of 2: kl.coef=0 seed=3\n",
        ),
        (["kl.coef=0.7", "--cfg", "job", "seed=3"], 0, "coef: 0.7"),
        (["tracking=[mlflow,tensorboard]", "--cfg", "job", "seed=3"], 0, "logdir:"),
        (["kl.coef=abc", "kl/controller=adaptve"], 2, "2 things are wrong"),
        (["-m", "kl.coef=0,abc"], 2, "kl.coef=abc: expected a number >= 0  [1 of 2 jobs"),
    ],
)
def test_answers_before_anything_heavy_is_imported(arguments, code, said, tmp_path):
    probe = [sys.executable, "-c", PROBE.format(arguments=arguments)]
    done = subprocess.run(
        probe,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    result = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert (result[1], result[2].split("]")[0]) == (str(code), "[")
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--kl.coef=1"],
            "--kl.coef=1: no such option; a setting is written without dashes, key=value",
        ),
        (["--experimental-rerun", "job.pickle"], "not offered"),
        (["--config-dir", "nowhere"], "--config-dir=nowhere: no such folder"),
        (["--lr=1", "modle=hf"], "2 things are wrong"),
        (["data=jsonl", "data.demonstrations=nowhere.jsonl", "data.gold=vader"], "nowhere.jsonl"),
        (
            ["data=files", "data.demonstrations=[{path: nowhere.csv}]", "data.gold=vader"]
            + ["data.columns={instruction: question}"],
            "nowhere.csv",
        ),
        (["beta=0.1"], "beta=0.1: no such key; here it is kl.coef"),
        (["tracking=null"], "tracking=null: no such option; tracking has mlflow, none"),
        (["kl.coef=1e-300"], "kl.coef=1e-300: expected a size from 1e-30 to 1e+30"),
        (["paths.outputs=''"], "paths.outputs=: is empty; name a path"),
        (
            ["paths.outputs=/dev/null"],
            "One thing is wrong with this command:\n  paths.outputs=/dev/null: /dev/null is not a",
        ),
        (["model=hf", "model.path=nowhere"], "model.path=nowhere: neither a folder here nor"),
        (["hydra.job.chdir=true"], "paths are relative to where the command is given"),
        (["ppo.rollout_size=9999999967"], "expected a whole number >= 1; it must be <= 1,000,000"),
        (["-m", "kl.coef=0,1", "hydra.launcher.time_limit=2x"], "hydra.launcher.time_limit=2x: "),
        (["-m", "modle=hf", "--cfg", "job"], "did you mean model?"),
    ],
)
def test_refused_with_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_composes_validates_and_loads_once(tmp_path, monkeypatch):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from rlhf.config.schema import Config
    from rlhf.data.sources.micro import Micro

    monkeypatch.chdir(tmp_path)
    calls = Counter()

    def counted(owner, name, wrap=lambda function: function):
        original = getattr(owner, name)

        def call(*arguments, **named):
            calls[name] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, wrap(call))

    counted(ConfigLoaderImpl, "load_configuration")
    counted(Micro, "load")
    validate = Config.model_validate
    monkeypatch.setattr(
        Config,
        "model_validate",
        lambda *given, **named: calls.update(["validate"]) or validate(*given, **named),
    )
    assert cli.main([*TINY, "stage=sft", "callbacks=none"]) == 0
    assert calls == {"load_configuration": 1, "validate": 1, "load": 1}
    assert cli.main([*TINY, "stage=sft", "callbacks=none"]) == 0
    assert calls["load"] == 1  # of a finished run nothing is read


CALLBACK = """
import json, os
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

class Note(Callback):
    def note(self, **what):
        with open("calls.jsonl", "a") as file:
            file.write(json.dumps(what) + "\\n")
    def on_run_start(self, config, **rest):
        self.note(at="run start", coef=config.kl.coef, mode=config.hydra.mode.name)
    def on_job_start(self, config, **rest):
        hydra = HydraConfig.get()
        overrides = [list(hydra.overrides.task), list(hydra.overrides.hydra)]
        self.note(at="job start", overrides=overrides, env=os.environ["MINE"], cwd=os.getcwd(),
                  output=hydra.runtime.output_dir, dirname=hydra.job.override_dirname)
    def on_job_end(self, config, job_return, **rest):
        self.note(at="job end", code=job_return.return_value)
    def on_run_end(self, config, **rest):
        self.note(at="run end")
"""


def test_what_hydra_does_around_a_run_is_done(tmp_path, monkeypatch):
    """Callbacks, the environment, its own output directory, its node in the config."""
    (tmp_path / "notes_of_mine.py").write_text(CALLBACK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "notes_of_mine")
    monkeypatch.chdir(tmp_path)
    own = ["+hydra.job.env_set.MINE=here"]
    own += ["+hydra.callbacks.note._target_=notes_of_mine.Note"]
    task = [*TINY, "stage=sft", "callbacks=none", "kl.coef=0.3", "paths.run_dir=out"]
    assert cli.main([*task, *own]) == 0
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [call.pop("at") for call in calls] == ["run start", "job start", "job end", "run end"]
    assert calls[0] == {"coef": 0.3, "mode": "RUN"}
    assert calls[1]["overrides"] == [task, own]
    assert calls[1]["output"] == str(tmp_path / "out") and (tmp_path / "out").is_dir()
    assert calls[1]["env"] == "here" and calls[1]["cwd"] == str(tmp_path)
    assert calls[1]["dirname"] == ",".join(sorted(task))
    assert calls[2] == {"code": 0} and "MINE" not in os.environ


def test_a_job_that_another_launcher_runs_has_the_name_that_was_planned(tmp_path, monkeypatch):
    """Hydra hands it a config without its own node, where the name of a user's YAML stands."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from rlhf.config.composition.plan import plan
    from rlhf.config.composition.session import CONFIG_NAME, session
    from rlhf.sweeps import multirun

    (tmp_path / "scorer").mkdir()
    (tmp_path / "scorer" / "mine.yaml").write_text("_target_: scorers_of_mine.Scorer")
    (tmp_path / "scorers_of_mine.py").write_text("class Scorer: needs_reward_model = False")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "scorers_of_mine")
    monkeypatch.setattr(multirun, "job_task", lambda cfg, hydra_config: cfg)
    with session(tmp_path) as hydra:
        (planned,) = plan(hydra, ["scorer=mine"]).jobs
        config = hydra.config_loader.load_configuration(CONFIG_NAME, ["scorer=mine"], RunMode.RUN)
        monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
        cfg = cli.task(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
    assert cfg.scorer.name == "mine"
    assert cfg.paths.run_name == planned.config.paths.run_name


def test_an_unfinished_run_of_before_is_left_as_it_is(tmp_path, monkeypatch, capsys):
    """A version of the hash ago; a line says so, if it could have been this one."""
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "outputs" / "default"
    for name, summary in (
        ("sft-seed0-aaaaaaaa", {}),
        ("sft-seed0-bbbbbbbb", {"status": "finished"}),
    ):
        (study / name).mkdir(parents=True)
        (study / name / "manifest.json").write_text('{"git": {"revision": "abc"}}')
        (study / name / "summary.json").write_text(json.dumps(summary))
    (study / "sft-seed1-cccccccc").mkdir()
    (study / "sft-seed1-cccccccc" / "manifest.json").write_text('{"stage": "sft"}')
    assert cli.main([*TINY, "stage=sft", "callbacks=none"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "left as it is" in line]
    assert lines == [
        "left as it is: outputs/default/sft-seed0-aaaaaaaa was made before version 2 of the run"
        " hash (git revision abc): compare works; to go on with it or reproduce it, use that"
        " revision"
    ]
    assert len(list(study.iterdir())) == 4


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rlhf ")


@pytest.mark.parametrize(
    "words", [["--allow-targets=scorers_of_mine"], ["--allow-targets", "scorers_of_mine"]]
)
def test_allowing_a_package(words, monkeypatch, capsys, tmp_path):
    (tmp_path / "scorers_of_mine.py").write_text("class Scorer: needs_reward_model = False")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "yours")
    line = "scorer._target_=scorers_of_mine.Scorer"
    assert cli.main([line, "kl.coef=abc"]) == 2
    assert "scorers_of_mine.Scorer is not an allowed class" in capsys.readouterr().err
    assert cli.main([*words, line, "kl.coef=abc"]) == 2
    assert "scorers_of_mine.Scorer" not in capsys.readouterr().err
    assert os.environ["RLHF_ALLOW_TARGETS"] == "yours,scorers_of_mine"


def test_shell_completion(tmp_path):
    done = rlhf(
        "-sc", "query=bash", cwd=tmp_path, COMP_LINE="rlhf kl/controller=ad", COMP_POINT="21"
    )
    assert "kl/controller=adaptive" in done.stdout


@pytest.mark.slow
def test_one_run_then_finished_then_another(tmp_path, commands):
    first = rlhf(*TINY, "kl.coef=0.1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (directory,) = (tmp_path / "outputs" / "default").iterdir()
    assert directory.name.startswith("kl0.1-fixed-seed0-")
    assert "summary.json" in first.stdout
    summary = directory / "summary.json"
    before = summary.stat().st_mtime_ns
    again = commands.run(tmp_path, [*TINY, "kl.coef=0.1"])
    assert again.code == 0
    assert "finished before; rerun=true starts another" in again.text
    assert summary.stat().st_mtime_ns == before
    other = commands.run(tmp_path, [*TINY, "kl.coef=0.2", f"paths.run_dir={directory}"])
    assert other.code == 1 and "belongs to another config" in other.text
    rerun = commands.run(tmp_path, [*TINY, "kl.coef=0.1", "rerun=true"])
    assert rerun.code == 0, rerun.text
    other = directory.with_name(f"{directory.name}-rerun1")
    assert (other / "metrics.jsonl").read_bytes() == (directory / "metrics.jsonl").read_bytes()
    (directory / "metrics.jsonl").write_bytes(b"")
    refused = commands.run(tmp_path, [*TINY, "kl.coef=0.1"])
    assert refused.code == 1 and "finished before" not in refused.text
    assert "metrics.jsonl has 0 of 3 lines" in refused.text
    assert "Traceback" not in refused.text


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path, monkeypatch, capfd):
    sweep = ["-m", *TINY, "sweep=s", "hydra.launcher.jobs=2"]
    done = rlhf(*sweep, "kl.coef=0,0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "sweeps" / "s" / "sweep.json").read_text())
    assert len(written["jobs"]) == 2
    for job in written["jobs"]:
        summary = json.loads((tmp_path / "sweeps" / "s" / job["name"] / "summary.json").read_text())
        assert (summary["status"], summary["sweep"]) == ("finished", "s")
    assert (tmp_path / "sweeps" / "s" / "runs.csv").exists()
    assert len(list((tmp_path / "outputs" / "artifacts" / "sft").glob("*/manifest.json"))) == 1
    monkeypatch.chdir(tmp_path)
    assert cli.main([*sweep, "kl.coef=0,0.1,0.2"]) == 0
    assert "2 finished before" in capfd.readouterr().err
    (tmp_path / "sweeps" / "s" / written["jobs"][0]["name"] / "samples.jsonl").unlink()
    assert cli.main([*sweep, "kl.coef=0,0.1"]) == 1
    refused = capfd.readouterr().err
    assert "1 finished before" in refused and "samples.jsonl is gone" in refused


@pytest.mark.slow
def test_other_launchers_work_too(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    line = ["-m", *TINY, "hydra/launcher=basic", "kl.coef=0,0.1", "sweep=s"]
    assert cli.main(line) == 0
    summaries = list((tmp_path / "sweeps" / "s").glob("kl*/summary.json"))
    assert len(summaries) == 2
    (summaries[0].parent / "samples.jsonl").unlink()
    assert cli.main(line) == 1
    refused = capfd.readouterr().err
    assert f"{summaries[0].parent.name} is refused, its records were damaged" in refused


@pytest.mark.slow
def test_from_python_it_is_the_same_run(tmp_path, monkeypatch):
    import rlhf as package

    monkeypatch.chdir(tmp_path)
    summary = package.run(package.compose([*TINY, "callbacks=none"]))
    assert summary["status"] == "finished"
    again = package.run(package.compose([*TINY, "callbacks=none"]))
    assert again == summary


def wait_until(true, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


LONG = ["-m", *TINY, "ppo.iterations=30", "kl/controller=adaptive", "seed=0,1", "sweep=s"]


@pytest.fixture(scope="module")
def never_cut(tmp_path_factory, commands):
    """The folder of the sweep of `LONG` that nothing happened to."""
    home = tmp_path_factory.mktemp("whole")
    whole = commands.run(home, [*LONG, "hydra.launcher.jobs=2"])
    assert whole.code == 0, whole.text
    return home / "sweeps" / "s"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_cut_sweep_goes_on_to_the_same_numbers(number, code, tmp_path, never_cut, commands):
    """Cut in the middle of PPO by a signal to the parent, started again, compared with one that
    was never cut."""
    sweep = tmp_path / "sweeps" / "s"
    # so that the other job has not begun
    parent = commands.start(tmp_path, [*LONG, "hydra.launcher.jobs=1"])
    wait_until(
        lambda: (
            parent.code is not None
            or any(lines(path) >= 4 for path in sweep.glob("*/metrics.jsonl"))
        )
    )
    parent.signal(number)
    assert parent.wait(60).code == code
    (begun,) = (path.parent for path in sweep.glob("*/metrics.jsonl"))
    wait_until(lambda: json.loads((begun / "status.json").read_text())["state"] == "stopped")
    assert not (begun / "summary.json").exists()
    done = commands.run(tmp_path, LONG)
    assert done.code == 0, done.text
    names = [job["name"] for job in json.loads((sweep / "sweep.json").read_text())["jobs"]]
    assert len(names) == 2
    for name in names:
        assert (sweep / name / "metrics.jsonl").read_bytes() == (
            never_cut / name / "metrics.jsonl"
        ).read_bytes()


def test_a_run_with_a_piece_of_ones_own_goes_where_the_command_says(tmp_path, monkeypatch, capsys):
    """The run composes anew, without Hydra's node: it names the piece by its YAML all the same."""
    (tmp_path / "my" / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "my" / "kl" / "controller" / "calm.yaml").write_text("_target_: calmness.Calm\n")
    (tmp_path / "calmness.py").write_text(
        "from rlhf.kl.controller import Fixed\n\n\nclass Calm(Fixed):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    directories = []

    def execute(cfg, *, directory, log, loaded):
        directories.append(directory)
        return 1

    monkeypatch.setattr(command, "execute", execute)
    own = ["--config-dir", "my", "--allow-targets", "calmness", "kl/controller=calm"]
    assert cli.main([*own, *TINY]) == 1
    assert "-calm-" in directories[0].name
    assert f"run in {directories[0]}" in capsys.readouterr().err


def test_a_store_of_another_program_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.db").write_text("these are my notes\n" * 300)
    before = (tmp_path / "notes.db").read_bytes()
    for words in ([], ["-m", "kl.coef=0,0.1"]):
        tracked = ["tracking=mlflow", "tracking.uri=sqlite:///notes.db"]
        assert cli.main([*words, *TINY[:-1], *tracked]) == 2
        assert "notes.db is no sqlite database" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["notes.db"]
    assert (tmp_path / "notes.db").read_bytes() == before
