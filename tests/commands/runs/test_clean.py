"""The command: what it shows, asks and refuses."""

import io
import json
import pty
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from rlhf.clean.things import Thing
from rlhf.commands.parts.cleaned import _table
from rlhf.commands.runs.clean import main
from rlhf.inventory import Disk
from tests.clean.conftest import SFT, Scene, everything, plain

__all__ = ["plain"]


@pytest.fixture
def scene(home, plain):  # noqa: F811
    return Scene(home, plain)


@pytest.fixture
def filled(scene):
    """One thing of each kind that can go, and a run that goes on from its checkpoint."""
    scene.run("sweeps/s/a", checkpoints=(4,))
    scene.run("sweeps/s/b", state="stopped", checkpoints=(2,), parents={"sft": "f" * 16})
    scene.artifact("sft", SFT)
    scene.work("sft", "abc")
    return scene


def test_without_a_terminal_nothing_goes(filled, capsys):
    before = everything(".")
    assert main([]) == 2
    said = capsys.readouterr()
    assert "--yes removes without asking" in said.err
    for path in ("sweeps/s/a/checkpoints", f"artifacts/sft/{SFT}", "abc.work"):
        assert path in said.out
    assert "its run is stopped, and goes on from them" in said.out
    assert main(["--dry-run"]) == 0 == main(["--dry-run", "--yes"])
    assert everything(".") == before


def test_yes_removes(filled, capsys):
    assert main(["--yes"]) == 0
    said = capsys.readouterr().out
    assert "3 things can go" in said and "3 removed" in said
    assert not [path for path in everything(".") if SFT in path or "abc" in path]
    assert main([]) == 0  # there is nothing to ask for
    assert "nothing can go" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "gone"), [("y\n", True), ("\n", False), ("no\n", False)])
def test_on_a_terminal_it_asks(filled, monkeypatch, answer, gone):
    outside, inside = pty.openpty()
    import os

    os.write(outside, answer.encode())
    with os.fdopen(inside, "r+b", buffering=0) as terminal:
        reader = os.fdopen(os.dup(terminal.fileno()), "r")
        writer = os.fdopen(os.dup(terminal.fileno()), "w")
        with reader, writer:
            monkeypatch.setattr(sys, "stdin", reader)
            monkeypatch.setattr(sys, "stdout", writer)
            assert main([]) == 0
    assert (filled.home / "sweeps/s/a/checkpoints").exists() is not gone
    os.close(outside)


def test_json(filled, capsys):
    assert main(["--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [thing["kind"] for thing in shown["goes"]] == ["checkpoints", "artifacts", "work"]
    assert [thing["path"] for thing in shown["stays"]] == ["sweeps/s/b/checkpoints"]
    sizes = sum(thing["bytes"] for thing in shown["goes"])
    assert shown["bytes"]["freed"] == sizes > 3 * 5000
    assert "removed" not in shown
    assert main(["--json", "--yes", "--checkpoints"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["removed"] == ["sweeps/s/a/checkpoints"] and shown["left"] == {}


def test_places_kinds_and_ages(filled, capsys):
    def goes(*words):
        assert main([*words, "--json"]) == 0
        return [thing["path"] for thing in json.loads(capsys.readouterr().out)["goes"]]

    assert goes("sweeps/s/a") == ["sweeps/s/a/checkpoints"] == goes("sweeps/s")
    assert goes("--artifacts") == [f"outputs/artifacts/sft/{SFT}"]
    assert goes("--work") == ["outputs/artifacts/sft/abc.work"]
    assert goes("--older-than", "1h", "--artifacts") == []
    assert goes("outputs/artifacts") == goes("--artifacts", "--work")


def test_other_folders_by_settings(filled, capsys):
    filled.run("data/o/study/x", checkpoints=(4,))
    assert main(["paths.outputs=data/o", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [thing["path"] for thing in shown["goes"]] == [
        "data/o/study/x/checkpoints",
        "sweeps/s/a/checkpoints",
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["gone"], "gone is no folder"),
        (["--also", "gone"], "gone is no folder"),
        (["--older-than", "soon"], "'soon' is no duration"),
        (["paths.outputs="], "paths.outputs"),
    ],
)
def test_wrong_arguments(home, capsys, words, reason):
    assert main(words) == 2
    assert reason in capsys.readouterr().err


def test_an_empty_place(home, capsys):
    assert main([]) == 0
    assert "nothing of these kinds is there" in capsys.readouterr().out
    assert [*home.iterdir()] == []


def test_a_store_that_does_not_answer_is_named(filled, capsys):
    """Damaged, and locked by a writer; one that is empty knows no run."""
    path = filled.home / "outputs" / "mlflow.db"
    path.write_bytes(b"")
    main(["--dry-run"])
    assert "could not be asked" not in capsys.readouterr().out
    path.write_bytes(b"no database, but as long as its head" * 40)
    main(["--dry-run"])
    words = " ".join(capsys.readouterr().out.split())
    assert (
        "outputs/mlflow.db could not be asked (file is not a database): runs in other places that"
        " it alone knows of are not seen; --also names their folder 3 things can go" in words
    )
    path.unlink()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("create table tags (key text, value text)")
        writer.execute("begin exclusive")
        assert main(["--dry-run", "--json"]) == 0
    (sentence,) = json.loads(capsys.readouterr().out)["unasked"]
    assert sentence.startswith("outputs/mlflow.db could not be asked (database is locked): ")


def test_a_reason_stands_below_its_thing_on_a_narrow_terminal():
    """Beside it there would be room for a letter a line."""
    place, why = Path("outputs/artifacts/reward_model/db4e960767a65600"), "6 runs in sight need it"
    thing = Thing(kind="artifacts", path=place, goes=False, disk=Disk(own=10), why=why)
    for width, lines in ((80, 3), (160, 2)):
        out = Console(file=io.StringIO(), width=width)
        out.print(_table("stays", [thing], width))
        shown = out.file.getvalue().splitlines()
        assert len(shown) == lines and max(map(len, shown)) <= width
        assert why in shown[-1]
