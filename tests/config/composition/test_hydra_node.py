"""What Hydra would build of its own node is judged on the resolved config, before it does."""

import logging
import os
import pickle

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict

from rlhf.commands.runs import run as cli
from rlhf.config.compose import compose, validate
from rlhf.config.composition.hydra_node import HydraNodeRefused, JudgedLoader, guard, hydra_faults
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import CONFIG_NAME, session
from rlhf.config.composition.walk import words_of

EVIL = "{_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [MARK]}}"
LOG = "version: 1, root: {handlers: [h], level: INFO}, disable_existing_loggers: false"
CONSOLE = "handlers: {h: {class: logging.StreamHandler}}"

# of an experiment file, below `hydra:`
HOSTILE = {
    "a callback": f'callbacks: {{x: "${{oc.create:{EVIL}}}"}}',
    "all callbacks": f'callbacks: "${{oc.create:{{a: {EVIL}}}}}"',
    "a value of the environment": 'callbacks: {x: "${oc.decode:${oc.env:HOSTILE}}"}',
    "another node": f'callbacks: {{x: "${{hydra.launcher.more}}"}}\n  launcher: {{more: {EVIL}}}',
    "a value of a node": (
        'callbacks: {x: "${oc.select:hydra.launcher.all.0}"}\n'
        f'  launcher: {{all: "${{oc.dict.values:hydra.launcher.more}}", more: {{a: {EVIL}}}}}'
    ),
    "a part of Hydra": "callbacks: {x: {_target_: hydra._internal.utils._locate, path: os}}",
    "a launcher elsewhere": "callbacks: {x: {_target_: hydra_plugins.mine.Launcher}}",
    "a launcher's argument": f'launcher: {{jobs: "${{oc.create:{EVIL}}}"}}',
    "a sweeper of nobody": "sweeper: {_target_: mine.Sweeper}",
    "a launcher of nobody": "launcher: {_target_: mine.Launcher}",
    "a formatter": f"hydra_logging: {{{LOG}, {CONSOLE}, formatters: {{f: {{'()': os.getcwd}}}}}}",
    "a handler in a formatter's place": (
        f"job_logging: {{{LOG}, {CONSOLE},"
        " formatters: {f: {'()': logging.FileHandler, filename: MARK}}}"
    ),
    "a handler": f"job_logging: {{{LOG}, handlers: {{h: {{class: mine.Handler}}}}}}",
    "a called handler": f"job_logging: {{{LOG}, handlers: {{h: {{'()': logging.StreamHandler}}}}}}",
    "a name that follows": (
        f"job_logging: {{{LOG}, handlers: {{h: {{class: 'cfg://x'}}}}, x: os.getcwd}}"
    ),
    "an import": (
        f"job_logging: {{{LOG}, handlers: {{h: {{class: logging.StreamHandler,"
        " stream: 'ext://antigravity.x'}}}"
    ),
    "a file": (
        f"job_logging: {{{LOG}, handlers: {{h: {{class: logging.FileHandler, filename: MARK,"
        " mode: w}}}"
    ),
    "a file of another kind": (
        f"job_logging: {{{LOG}, handlers: {{h: {{class: logging.FileHandler,"
        " filename: '${hydra.runtime.output_dir}/run.sh'}}}"
    ),
    "an attribute of a handler": (
        f"job_logging: {{{LOG}, handlers: {{h: {{class: logging.FileHandler, delay: true,"
        " filename: '${hydra.runtime.output_dir}/a.log', '.': {baseFilename: MARK}}}}"
    ),
    "a file that follows": (
        f"job_logging: {{{LOG}, x: {{log: MARK}}, handlers: {{h: {{class: logging.FileHandler,"
        " filename: 'cfg://x.log'}}}\npaths: {run_dir: .}"
    ),
    "by the time": "callbacks: {x: '${oc.select:hydra.spare.${now:%M},null}'}",
    "the environment of a job": "job: {env_set: {PATH: MARK}}",
    "a shell's command": "launcher: {setup: ['touch MARK']}",
    "a command in a script": 'launcher: {comment: "x\\ntouch MARK #"}',
    "a prolog": "launcher: {additional_parameters: {task_prolog: MARK}}",
    "arguments of srun": "launcher: {srun_args: ['--task-prolog=MARK']}",
    "a cluster's commands": "launcher: {ray: {nodes: [{head_setup_commands: ['touch MARK']}]}}",
    "a part of a command": "launcher: {ray: {init: {runtime_env: {py_executable: MARK}}}}",
    "a sweep's parameter": "sweeper: {params: {+hydra.job.env_set.PATH: MARK}}\n  mode: MULTIRUN",
    "the command": "overrides: {hydra: ['hydra.searchpath=[pkg://mine]']}",
}


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """hostile(name) -> a config folder whose experiment is hostile; `executed` would be made."""
    mark = tmp_path / "executed"
    monkeypatch.setenv("HOSTILE", EVIL.replace("MARK", str(mark)))
    monkeypatch.chdir(tmp_path)

    def write(name):
        (tmp_path / "my" / "experiment").mkdir(parents=True, exist_ok=True)
        text = f"# @package _global_\nhydra:\n  {HOSTILE[name]}\n".replace("MARK", str(mark))
        if HOSTILE[name].startswith("launcher: {") and "_target_" not in text:
            text = text.replace("launcher: {", "launcher: {_target_: hydra_plugins.x.y.L, ")
        (tmp_path / "my" / "experiment" / "hostile.yaml").write_text(text)
        return tmp_path / "my", mark

    return write


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_experiment_is_refused_before_anything_is_built(name, hostile):
    folder, mark = hostile(name)
    with session(folder) as hydra:
        for words in (["experiment=hostile"], ["experiment=hostile", "seed=0,1"]):
            planned = plan(hydra, words, multirun=len(words) > 1)
            assert planned.faults and all(fault.startswith("hydra.") for fault in planned.faults)
        composed = hydra.config_loader.load_configuration(
            CONFIG_NAME, ["experiment=hostile"], RunMode.RUN
        )
        if name != "a sweep's parameter":  # which only the plan of its jobs knows
            with pytest.raises(HydraNodeRefused):
                guard(composed, ["experiment=hostile"])
    assert not mark.exists()


@pytest.mark.parametrize(
    "words", [["--help"], ["--cfg=all"], ["--info=config"], ["--hydra-help"], ["-m"], []]
)
@pytest.mark.parametrize("name", ["a callback", "a formatter"])
def test_whatever_is_asked(name, words, hostile, capsys):
    _, mark = hostile(name)
    assert cli.main([*words, "--config-dir=my", "experiment=hostile"]) == 2
    assert not mark.exists()
    assert "is not an allowed class" in capsys.readouterr().err


def test_from_python_nothing_of_hydras_node_is_built(hostile):
    folder, mark = hostile("a callback")
    validate(compose(["experiment=hostile"], config_dir=folder))
    assert not mark.exists()


def test_another_config_is_refused_before_its_help(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yaml").write_text("hydra: {help: {template: theirs}}")
    assert cli.main(["--config-dir=.", "--config-name=other", "--help"]) == 2
    assert "are not offered" in capsys.readouterr().err


def composed(*words):
    with session() as hydra:
        return hydra.config_loader.load_configuration(CONFIG_NAME, [*words], RunMode.RUN)


def test_the_names_of_hydras_own_options_are_fine():
    words = ["hydra/job_logging=default", "hydra/hydra_logging=default", "hydra/sweeper=optuna"]
    assert hydra_faults(composed(*words), words) == []
    words = ["hydra/job_logging=stdout", "hydra/launcher=ray", "hydra/sweeper=find"]
    assert hydra_faults(composed(*words), words) == []


def test_a_log_in_the_runs_directory_is_fine(tmp_path):
    config = composed("hydra/job_logging=default", f"hydra.run.dir={tmp_path}")
    file = config.hydra.job_logging.handlers.file
    given = ["hydra/job_logging=default", f"hydra.run.dir={tmp_path}"]
    for name, right in {
        str(tmp_path / "a" / "b.log"): True,
        str(tmp_path / ".bashrc"): False,
        str(tmp_path.parent / "b.log"): False,
        f"{tmp_path}/../b.log": False,
    }.items():
        file.filename = name
        assert (hydra_faults(config, given) == []) is right, name
    assert OmegaConf.is_missing(config.hydra.runtime, "output_dir")  # as it was


def test_what_decides_what_is_run_may_stand_on_the_command_line_only(monkeypatch):
    words = ["+hydra.job.env_set.PATH=/mine", "hydra/launcher=submitit_slurm"]
    config = composed(*words)
    assert hydra_faults(config, words) == []
    with open_dict(config):
        config.hydra.launcher.setup = ["module load cuda"]
    (fault,) = hydra_faults(config, words)
    assert str(fault) == (
        "hydra.launcher.setup: decides what is run: no file may set it; write it on the command"
        " line, or --allow-targets=hydra_plugins.hydra_submitit_launcher"
    )
    assert hydra_faults(config, [*words, "hydra.launcher.setup=[module load cuda]"]) == []
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "hydra_plugins.hydra_submitit_launcher")
    assert hydra_faults(config, words) == []


def test_an_allowed_package_does_not_lend_its_name_to_a_callback(monkeypatch):
    """logging.os is the module os."""
    config = composed("+hydra.callbacks.x._target_=logging.os.getcwd")
    given = ["+hydra.callbacks.x._target_=logging.os.getcwd"]
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "logging")
    assert hydra_faults(config, given) == []
    with pytest.raises(HydraNodeRefused, match="logging.os.getcwd is really posix.getcwd"):
        guard(config, given)
    assert logging.os is os


@pytest.mark.parametrize("target", ["[a]", "{a: 1}", "5", "null", "''"])
def test_a_target_that_is_no_name_is_refused_with_a_sentence(target, planned):
    for key in ("scorer", "kl.controller", "+hydra.callbacks.x"):
        faults = planned(f"{key}._target_={target}").faults
        assert len(faults) == 1
        assert "not an allowed class" in faults[0] or "expected a piece" in faults[0]


def test_a_models_own_code_is_asked_for_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "theirs.yaml").write_text(
        "# @package _global_\ndefaults: [{override /model: hf}]\n"
        "model: {path: theirs, trust_remote_code: true}\n"
    )
    with session(tmp_path) as hydra:
        words = ["experiment=theirs"]
        assert plan(hydra, words).faults == [
            "model.trust_remote_code=true: decides what is run: no file may set it; write it on the"
            " command line, or --allow-targets=transformers_modules"
        ]
        assert plan(hydra, [*words, "model.trust_remote_code=true"]).faults == []
        as_dict = "+model={trust_remote_code: true}"
        assert plan(hydra, ["model=hf", "model.path=x", as_dict]).faults == []
        assert plan(hydra, [*words, "model.trust_remote_code=false"]).faults == []
        monkeypatch.setenv("RLHF_ALLOW_TARGETS", "transformers_modules")
        assert plan(hydra, words).faults == []


@pytest.mark.parametrize(
    ("params", "trust"),
    [("model.trust_remote_code: 'false,true'", "false"), ("rerun: 'false,true'", "'${rerun}'")],
)
def test_every_job_of_a_sweep_is_asked_for_a_models_own_code(params, trust, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "theirs.yaml").write_text(
        "# @package _global_\ndefaults: [{override /model: hf}]\n"
        f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{{params}}}}}}}\n"
        f"model: {{path: theirs, trust_remote_code: {trust}}}\n"
    )
    with session(tmp_path) as hydra:
        (fault,) = plan(hydra, ["experiment=theirs"]).faults
    assert fault.startswith("model.trust_remote_code=true: decides what is run")
    assert "[1 of 2 jobs:" in fault


def test_a_word_of_the_command_line_speaks_for_itself_alone(monkeypatch):
    """One variable on the command line allows no other one of a file."""
    word = "+hydra.job.env_set.OMP_NUM_THREADS='1'"
    config = composed(word, "model=hf", "model.path=mine", "hydra/launcher=ray")
    with open_dict(config):
        config.hydra.job.env_set.LD_PRELOAD = "theirs.so"
        config.model.trust_remote_code = True
        config.hydra.launcher.ray.init.runtime_env = {"working_dir": "mine", "py_executable": "x"}
    beside = ["+hydra.launcher.ray.init.runtime_env.working_dir=mine", "model={path: mine}", word]
    runtime_env = "hydra.launcher.ray.init.runtime_env.py_executable"
    expected = ["hydra.job.env_set.LD_PRELOAD", runtime_env, "model.trust_remote_code=true"]
    faults = hydra_faults(config, beside, composed_words(config))
    assert [fault.where for fault in faults] == expected
    whole = ["model={trust_remote_code: true}", "+hydra.job.env_set={LD_PRELOAD: theirs.so}"]
    given = [*beside, *whole, "+hydra.launcher.ray.init={runtime_env: {py_executable: x}}"]
    assert hydra_faults(config, given, composed_words(config)) == []


def composed_words(config):
    return [*words_of(config.hydra.overrides.hydra), *words_of(config.hydra.overrides.task)]


LATER = """
  SETTING
  job_logging: {version: 1, spare: {safe: '${hydra.runtime.output_dir}/a.log', evil: MARK},
    root: {handlers: [h], level: INFO}, disable_existing_loggers: false,
    handlers: {h: {class: logging.FileHandler, filename: "${FOLLOWS}"}}}
"""


@pytest.mark.parametrize(
    ("setting", "follows"),
    [
        (
            "runtime: {output_dir: safe}",
            "oc.select:hydra.job_logging.spare.${hydra.runtime.output_dir}",
        ),
        ("", "oc.select:hydra.job_logging.spare.${oc.select:hydra.job.num,safe}"),
        ("", "oc.select:hydra.job_logging.spare.${oc.env:SET_IN_A_JOB,safe}"),
    ],
)
def test_the_logging_of_a_job_is_what_was_judged(setting, follows, tmp_path, monkeypatch):
    """What it follows from is another thing once the job begins."""
    mark = tmp_path / "executed"
    text = LATER.replace("SETTING", setting).replace("MARK", str(mark))
    text = text.replace("FOLLOWS", f"{follows},${{hydra.job_logging.spare.evil}}")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "later.yaml").write_text(f"# @package _global_\nhydra:{text}")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    with session(tmp_path) as hydra:
        words = ["experiment=later"]
        master = hydra.config_loader.load_configuration(
            CONFIG_NAME, [*words, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN
        )
        given = (*words, "hydra.mode=MULTIRUN")
        loader = pickle.loads(pickle.dumps(JudgedLoader(hydra.config_loader, given)))
        try:
            config = loader.load_sweep_config(master, ["experiment=later", "seed=1"])
        except HydraNodeRefused:
            return
        monkeypatch.setenv("SET_IN_A_JOB", "evil")
        with open_dict(config):
            config.hydra.job.num = 0
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        run_job(
            lambda _: logging.warning("x"), config, "hydra.sweep.dir", "hydra.sweep.subdir", context
        )
    assert not mark.exists()
    assert next(tmp_path.glob("sweeps/*/*/a.log")).read_text()
