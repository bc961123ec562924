"""What the doctor says of a command, and its exit code."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rlhf.commands.parts.checkup import _extras
from rlhf.commands.setup.doctor import main
from rlhf.runs.machine import checkup
from tests.estimates.test_shape import SMOLLM2


@pytest.fixture
def doctor(home, capsys):
    """doctor(word, ...) -> (exit code, the report)"""

    def go(*words):
        capsys.readouterr()
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return go


@pytest.fixture
def model(home):
    folder = home / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMOLLM2))
    return ("model=hf", f"model.path={folder}")


def test_the_defaults_would_run(doctor, home):
    code, report = doctor()
    assert code == 0
    assert report["command"]["runs"] and report["command"]["faults"] == []
    assert report["versions"]["python"].startswith("3.")
    assert report["versions"]["torch"]
    assert report["machine"]["cores"] >= 1
    assert set(report["disks"]) >= {"outputs", "sweeps"}
    assert report["store"]["state"] == "is made by the first run"
    assert report["hub"] == {"reachable": False, "why": "HF_HUB_OFFLINE forbids to ask"}
    assert [*home.iterdir()] == []  # nothing is made


def test_a_pretrained_model(doctor, model):
    code, report = doctor(*model, "ppo.iterations=10", "evaluation.every=5")
    needs = report["command"]["needs"]
    assert code == 0
    assert needs["memory"]["sft"]["weights that are trained"] == 538_060_032
    assert needs["responses"] == {"training": 640, "evaluations": 192, "normalisation": 128}
    assert set(needs["seconds"]) == {"sft", "reward_model", "ppo"}


def test_all_refusals_at_once(doctor, model, home):
    """A batch that no machine holds; a folder that is a file; more threads than come on."""
    (home / "file").touch()
    code, report = doctor(
        *model,
        "ppo.rollout_size=100000",
        "ppo.minibatch_size=100000",
        "ppo.micro_batch_size=100000",
        "paths.sweeps=out",
        "paths.artifacts=file/a",
        "trainer.threads=1024",
    )
    assert code == 2
    faults = report["command"]["faults"]
    assert any(fault.startswith("paths.artifacts=file/a") for fault in faults)
    assert any(fault.startswith("trainer.threads=1024") for fault in faults)
    assert any(fault.startswith("ppo: needs about") for fault in faults)


def test_a_wrong_config_and_data_that_are_missing(doctor):
    code, report = doctor("kl.coef=x")
    assert code == 2
    assert report["command"]["faults"] == ["kl.coef=x: expected a number >= 0"]
    code, report = doctor("data=jsonl", "data.demonstrations=gone.jsonl", "data.gold=vader")
    assert code == 2
    assert "gone.jsonl" in report["command"]["faults"][0]


def test_a_sweep(doctor):
    code, report = doctor("-m", "seed=0,1", "hydra.launcher.jobs=2")
    assert (code, report["command"]["jobs"]) == (0, 2)


def test_the_screen(home, capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "would run: the defaults" in shown
    assert "extras" in shown and "rlhf[NAME]" in shown
    assert len(shown.splitlines()) < 30
    assert main(["kl.coef=x"]) == 2
    assert "would be refused: kl.coef=x\n  kl.coef=x: expected" in capsys.readouterr().out


def test_words_of_extras():
    lacking = {"optuna": [], "slurm": ["submitit"]}
    assert _extras(lacking) == (
        "installed: optuna; not installed: slurm (submitit); pip install 'rlhf[NAME]'"
    )


class Refuses(BaseHTTPRequestHandler):
    def do_HEAD(self):  # noqa: N802
        self.send_error(403)

    def log_message(self, *words):
        pass


def test_a_server_that_answers():
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert checkup.unreachable(f"http://127.0.0.1:{server.server_port}") is None


def test_servers_that_do_not():
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        assert "refused" in checkup.unreachable(f"http://127.0.0.1:{closed.getsockname()[1]}")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert checkup.unreachable(address, patience=0.2) is not None
    assert checkup.unreachable("no address") is not None
