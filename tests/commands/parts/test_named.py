"""A run or a sweep by a short name, in every subcommand that takes one."""

import json
from importlib import import_module

import pytest

from rlhf.commands.parts.named import Ambiguous, place_of
from rlhf.inventory import SweepEntry
from tests.inventory.made import PRINTS, stages

COMMANDS = {
    "models.sample": [],
    "models.export": [],
    "runs.realign": [],
    "runs.show": [],
    "runs.reproduce": ["--dry-run"],
    "results.compare": [],
    "results.select": [],
    "results.ui": [],
}


@pytest.fixture
def place(rundirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stages(tmp_path / "outputs" / "artifacts")
    rundirs.make_run(tmp_path / "outputs" / "unit" / "kl0.1-fixed", coef=0.1)
    sweep = tmp_path / "sweeps" / "kl_many"
    rundirs.make_run(sweep / "kl0.2-a", coef=0.2)
    rundirs.make_run(sweep / "kl0.3-b", coef=0.3)
    jobs = [{"name": name, "overrides": []} for name in ("kl0.2-a", "kl0.3-b")]
    (sweep / "sweep.json").write_text(json.dumps({"name": "kl_many", "jobs": jobs}))
    return tmp_path


def told(capsys, command, word, *options):
    code = import_module(f"rlhf.commands.{command}").main([word, *options])
    out, err = capsys.readouterr()
    return code, " ".join((out + err).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_of_several_things_is_refused_and_lists_them(place, capsys, command):
    code, words = told(capsys, command, "kl0", *COMMANDS[command])
    listed = "outputs/unit/kl0.1-fixed sweeps/kl_many/kl0.2-a sweeps/kl_many/kl0.3-b"
    assert (code, words) == (
        2,
        f"rlhf {command.partition('.')[2]}: kl0 may be 3 things; name one: {listed}",
    )


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("results")])
def test_the_beginning_of_a_runs_name_is_enough(place, capsys, command):
    """The runs were made by hand: some subcommands refuse them, by the folder."""
    _, words = told(capsys, command, "kl0.2", *COMMANDS[command])
    assert "sweeps/kl_many/kl0.2-a" in words


def test_the_beginning_of_a_sweeps_name_is_enough(place, capsys):
    assert told(capsys, "results.compare", "kl_m", "--status")[0] == 0
    assert "kl.coef=0.2 run" in told(capsys, "results.select", "kl_m")[1]
    assert "sweeps/kl_many holds no run of a sweep" in told(capsys, "results.ui", "kl_m")[1]


def test_what_is_no_name_comes_back_as_it_is(place):
    for word in ("nothing", "outputs/unit", "outputs/unit/kl0.1-fixed/config.yaml", "f" * 32):
        assert place_of(word) == word
    assert place_of(PRINTS["sft"][:6]) == f"outputs/artifacts/sft/{PRINTS['sft']}"


def test_of_several_that_of_the_kind_that_is_taken_is_meant(place):
    assert place_of("kl", SweepEntry) == "sweeps/kl_many"
    with pytest.raises(Ambiguous, match="kl may be 4 things"):
        place_of("kl")


MEANT = {
    "kl_many": "did you mean sweeps/kl_many?",
    "kl_m": "did you mean sweeps/kl_many?",
    "kl0.2-a": "did you mean sweeps/kl_many/kl0.2-a?",
    "kl0.1": "did you mean outputs/unit/kl0.1-fixed?",
    "kl0.1-fixd": "did you mean outputs/unit/kl0.1-fixed?",
    "sweeps/kl_mny": "did you mean sweeps/kl_many?",
    "unnit": "did you mean outputs/unit?",
    "outputs/unnit": "did you mean outputs/unit?",
    "zzz": "",
    "kl0": "did you mean one of outputs/unit/kl0.1-fixed, sweeps/kl_many/kl0.2-a,"
    " sweeps/kl_many/kl0.3-b?",
}


@pytest.mark.parametrize("command", ["runs.list", "runs.clean"])
@pytest.mark.parametrize(("word", "meant"), MEANT.items())
def test_where_folders_alone_are_taken_that_of_a_name_is_told(place, capsys, command, word, meant):
    code, words = told(capsys, command, word)
    assert code == 2
    assert words.startswith(f"rlhf {command.partition('.')[2]}: {word} is no folder")
    assert words.endswith(f"; {meant}") if meant else "did you mean" not in words


def test_the_kinds_of_a_list_are_near_too(place, capsys):
    assert told(capsys, "runs.list", "sweps")[1].endswith("did you mean sweeps?")
    assert "is a file" in told(capsys, "runs.clean", "sweeps/kl_many/sweep.json")[1]
