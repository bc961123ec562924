"""Help, versions and refusals: of the command, and of every subcommand in one manner."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf import __main__, __version__, commands
from rlhf.commands.parts.parser import Parser

ROOT = Path(__file__).parents[2]


def test_help_fits_a_screen_and_names_every_subcommand(capsys):
    assert __main__.main(["--help"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    for name in commands.names():
        assert re.search(rf"(^| ){name}  ", text, re.MULTILINE), name
    for heading in commands.FOLDERS.values():
        assert any(line.startswith(heading) for line in lines)
    assert __main__.main(["help"]) == 0
    assert capsys.readouterr().out == text


def test_help_and_versions_import_nothing_heavy():
    code = """
import sys
from rlhf.__main__ import main
assert [main(words) for words in (["--help"], ["--version"], ["help"])] == [0, 0, 0]
heavy = {"torch", "pydantic", "hydra", "omegaconf", "rich", "mlflow", "numpy", "yaml"}
print("HEAVY", heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("HEAVY set()\n"), done.stderr


@pytest.mark.parametrize("words", [["--version"], ["config", "--version"], ["run", "--version"]])
def test_versions(words, capsys):
    assert __main__.main(words) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"rlhf {__version__}"
    assert "torch " in others[0]
    assert "mlflow " in " ".join(others)


def test_versions_for_a_program(capsys):
    assert __main__.main(["--version", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["rlhf"] == __version__
    assert set(known) >= {"python", "torch", "pytorch-lightning", "hydra-core", "mlflow"}


@pytest.mark.parametrize("name", commands.names())
def test_every_subcommand_has_the_same_look(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    module = commands.module(name)
    assert isinstance(module._parser(), Parser)
    try:
        code = module.main(["--help"])
    except SystemExit as end:  # argparse ends so
        code = end.code
    assert code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: rlhf ")
    assert "\nExamples:\n\n  rlhf" in text or '\nExamples:\n\n  eval "$(rlhf' in text
    assert "\nExit codes: 0 " in text
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("name", [name for name in commands.names() if name != "run"])
def test_every_subcommand_refuses_in_the_same_manner(name, capsys):
    with pytest.raises(SystemExit) as refused:
        commands.module(name).main(["--no-such-option"])
    assert refused.value.code == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"rlhf {name}: ")
    assert last == f"  rlhf {name} --help lists what it takes"


@pytest.mark.parametrize("name", commands.names())
def test_every_option_says_what_it_does(name):
    parser = commands.module(name)._parser()
    mute = [action.dest for action in parser._actions if not action.help and not action.choices]
    assert mute == []


def test_an_option_that_is_nearly_one(capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.module("config").main(["--config-drr=x"])
    assert "did you mean --config-dir?" in capsys.readouterr().err


def test_help_of_a_subcommand(capsys):
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["help", "config"])
    assert capsys.readouterr().out.startswith("usage: rlhf config")
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["help", "comapre"])
    assert "did you mean compare?" in capsys.readouterr().err
