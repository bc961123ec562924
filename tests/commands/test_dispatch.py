"""The first word of the command line: a subcommand's name, or the first setting of a run."""

import sys

import pytest

from rlhf import __main__, commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The package of subcommands, with a folder of the test's own beside its folders."""
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setattr(commands, "FOLDER", tmp_path)
    monkeypatch.setattr(commands, "FOLDERS", {"toys": "Toys"})
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "run.py").write_text("def main(argv): return 7")
    yield tmp_path / "toys"
    for name in [name for name in sys.modules if name.startswith("rlhf.commands.toys")]:
        del sys.modules[name]


def test_a_later_subcommand_is_one_file(folder, capsys):
    source = '"""rlhf toy words: says them"""\n\ndef main(argv):\n    print(argv)\n    return 3\n'
    (folder / "toy.py").write_text(source)
    (folder / "_helper.py").touch()
    assert __main__.main(["toy", "a=1", "-b"]) == 3
    assert capsys.readouterr().out == "['a=1', '-b']\n"
    assert commands.names() == ["run", "toy"]
    assert commands.headed() == {"Toys": {"run": "", "toy": "says them"}}


def test_a_word_that_is_none(capsys):
    assert __main__.main(["reproduc", "sweeps/s"]) == 2
    assert capsys.readouterr().err == (
        "rlhf: reproduc is no subcommand; did you mean reproduce?"
        f" ({', '.join(commands.names())}); a setting is written key=value\n"
    )


@pytest.mark.parametrize(
    "words", [[], ["kl.coef=0.1"], ["-m", "kl.coef=0,1"], ["--help", "seed=1"], ["~callbacks"]]
)
def test_settings_and_options_are_hydras(words, monkeypatch):
    from rlhf.commands.runs import run

    given = []
    monkeypatch.setattr(run, "main", lambda argv: given.append(list(argv)) or 0)
    assert __main__.main(words) == 0
    assert __main__.main(["run", *words]) == 0
    assert given == [words, words]
    monkeypatch.setattr(sys, "argv", ["rlhf", *words])
    assert __main__.main() == 0
