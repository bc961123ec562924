"""A toy of each kind from outside the package: a module and YAMLs of a user's own, run as ours are.
(An algorithm and an advantage: tests/modules/test_algorithm_of_ones_own.py.)"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.rundir.files import read_jsonl
from tests.conftest import SMALL

MODULE = '''
"""Pieces of a user's own."""

import json
from pathlib import Path

from rlhf.data.sources.micro import Micro
from rlhf.kl.controller import Fixed
from rlhf.kl.properties import ControllerProperties, EstimatorProperties
from rlhf.models.load import TinyModel
from rlhf.rollout.score import Scorer
from rlhf.tracking.base import Tracker


class Sawtooth(Fixed):
    """The coefficient goes up by a step and falls back every second rollout."""

    properties = ControllerProperties(name="sawtooth")

    def __init__(self, coef, step):
        super().__init__(coef)
        self.step, self.low = step, coef

    def update(self, sequence_nats, episodes, *, unit="sequence"):
        self.coef = self.low if self.coef > self.low else self.low + self.step


class Squared:
    properties = EstimatorProperties(name="squared")

    def __call__(self, logp, ref_logp, exact_kl=None):
        return (logp - ref_logp) ** 2


class Letters(Micro):
    """Another problem of the same kind."""

    def __init__(self, letters, max_response_tokens):
        super().__init__(seed=5, vocabulary=letters, prompts=4, demonstrations=64, pairs=48,
                         label_temperature=1.0, max_response_tokens=max_response_tokens)


class Narrow(TinyModel):
    def __init__(self, width):
        super().__init__(architecture="gpt2", hidden_size=width, layers=1, heads=2, seed=3)

    def trainable_parameters(self, model):
        """All but the embeddings of positions."""
        chosen = []
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("wpe" not in name)
            chosen += [parameter] if parameter.requires_grad else []
        return chosen


class Short(Scorer):
    """Shorter is better: it reads texts, not ids."""

    needs_reward_model = False

    def score(self, responses):
        import torch

        return -torch.tensor([float(len(text)) for text in responses.texts])


class Notes(Tracker):
    """Writes down what it is told."""

    def __init__(self, file):
        self.file = file

    def begin(self, directory, *, name, params, tags, datasets=()):
        self.path = Path(directory) / self.file
        self.path.write_text(json.dumps({"name": name, "params": params}) + "\\n")

    def notify(self):
        with self.path.open("a") as file:
            file.write("iteration\\n")
'''
YAMLS = {
    "kl/controller/sawtooth": "_target_: toys.Sawtooth\nstep: 0.5\n",
    "kl/estimator/squared": "_target_: toys.Squared\n",
    "data/letters": "_target_: toys.Letters\nletters: 3\nmax_response_tokens: 4\n",
    "model/narrow": "_target_: toys.Narrow\nwidth: 8\n",
    "scorer/short": "_target_: toys.Short\n",
    "tracking/notes": "_target_: toys.Notes\nfile: notes.txt\n",
    "hydra/launcher/in_turn": "_target_: hydra_plugins.in_turn.InTurn\n",
}
LAUNCHER = """
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher


class InTurn(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        Path("launched.txt").write_text(str(len(job_overrides)))
        return super().launch(job_overrides, initial_job_idx)
"""
CHOSEN = ("data=letters", "model=narrow", "scorer=short", "tracking=notes")
STEERED = ("kl/controller=sawtooth", "kl.coef=0.1", "kl/estimator=squared")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with the user's module, config groups and launcher; the module is allowed."""
    (tmp_path / "toys.py").write_text(MODULE)
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "in_turn.py").write_text(LAUNCHER)
    for name, text in YAMLS.items():
        path = tmp_path / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "toys")
    yield tmp_path
    sys.modules.pop("toys", None)


def small(*, without=("data.", "model.", "tracking=")):
    return [line for line in SMALL if not line.startswith(without)]


def test_pieces_of_every_group_make_a_run(home):
    """Controller, estimator, data source, model, scorer and tracker in one run; what they do is
    seen in what it left."""
    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    place = [f"paths.artifacts={home / 'artifacts'}", "ppo.value_init=policy"]
    lines = [*small(), *CHOSEN, *STEERED, *place]
    summary = run(validate(compose(lines, config_dir=home / "my_conf")), directory=home / "run")

    rows = read_jsonl(home / "run" / "metrics.jsonl")
    assert [row["kl/coef"] for row in rows[1:]] == [0.1, 0.6, 0.1, 0.6]
    assert (summary["kl.controller"], summary["kl.estimator"]) == ("sawtooth", "squared")
    assert summary["kl.descends"].startswith("not known")
    assert rows[-1]["eval/ppo/score"] <= 0 and "reward/gold" in summary
    config = json.loads((home / "run" / "policy" / "config.json").read_text())
    assert (config["n_embd"], config["vocab_size"]) == (8, 5)  # 3 letters, <pad>, <eos>
    notes = (home / "run" / "notes.txt").read_text().splitlines()
    assert json.loads(notes[0])["params"]["kl.controller"] == "sawtooth"
    assert len(notes) >= 1 + len(rows)


def test_a_section_of_the_report(gamed_sweep, monkeypatch):
    from rlhf.compare import comparison
    from rlhf.compare.page.section import Section

    def longest_name(view):
        name = max((run.name for run in view.study.runs), key=len)
        return Section(key="longest", markdown=f"## Longest name\n\n{name}")

    monkeypatch.setattr(comparison, "SECTIONS", (*comparison.SECTIONS, longest_name))
    result = comparison.compare(gamed_sweep, track=False)
    assert "## Longest name\n\nkl.coef=0.05" in result.files["report.md"].read_text()


@pytest.fixture
def gamed_sweep(rundirs, tmp_path):
    directory = tmp_path / "sweeps" / "s"
    directory.mkdir(parents=True)
    for coef in (0.1, 0.05):
        rundirs.make_run(directory / f"kl.coef={coef}", coef=coef)
    return directory


def test_a_subcommand_is_one_file(monkeypatch, tmp_path):
    """The dispatcher lists the folders of commands; help has the first line of the docstring."""
    from rlhf import commands

    shutil.copytree(commands.FOLDER, tmp_path, dirs_exist_ok=True)
    source = '"""rlhf count: counts runs"""\n\n\ndef main(argv): ...\n'
    (tmp_path / "runs" / "count.py").write_text(source)
    monkeypatch.setattr(commands, "FOLDER", tmp_path)
    assert "count" in commands.names()
    assert commands.headed()["Runs"]["count"] == "counts runs"


@pytest.mark.slow
def test_a_launcher(home):
    """Found by Hydra's own plugin discovery, as an installed package's would be."""
    words = ["-m", *small(without=("data.", "model.")), *CHOSEN[:3], "ppo.value_init=policy"]
    words += ["hydra/launcher=in_turn", "kl.coef=0,0.1", "sweep=s", "ppo.iterations=1"]
    environment = {**os.environ, "PYTHONPATH": f"{home}:{Path(__file__).parents[1]}"}
    command = [sys.executable, "-m", "rlhf", "--config-dir", "my_conf", *words]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (home / "launched.txt").read_text() == "2"
    assert len(list((home / "sweeps" / "s").glob("*/summary.json"))) == 2
