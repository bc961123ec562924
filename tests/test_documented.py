"""Every command of README.md and docs/ is one that works: settings are composed and validated,
subcommands parsed. Nothing is trained, and files that a reader would have need not be there."""

import re
import sys

import pytest

from rlhf import commands
from rlhf.config.composition.hydra_internals import get_args_parser
from rlhf.config.composition.plan import plan
from rlhf.config.composition.session import session
from tests import documented

BLOCKS = documented.every()
INLINE = [each for each in documented.inline() if each[1] not in ([n] for n in commands.names())]
OWN = """
from rlhf.kl.controller import Fixed


class Mine(Fixed):
    def __init__(self, coef, gain=0.5):
        super().__init__(coef)
"""


@pytest.fixture
def own_piece(tmp_path, monkeypatch):
    """own_piece(package) -> a folder of groups with kl/controller=mine, whose class is in it"""

    def make(package):
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").write_text(OWN)
        group = tmp_path / "conf" / "kl" / "controller"
        group.mkdir(parents=True)
        (group / "mine.yaml").write_text(f"_target_: {package}.Mine\ngain: 0.5\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("RLHF_ALLOW_TARGETS", package)
        return tmp_path / "conf"

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] in ("mine", "mypackage")]:
        del sys.modules[name]


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """reader(place): works in a folder with the files that the page has its reader write"""

    def go(place):
        page = documented.ROOT / re.split("[:,]", place)[0]
        for name, text in documented.files(page).items():
            path = tmp_path / "reader" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.suffix == ".py":
                monkeypatch.delitem(sys.modules, path.stem, raising=False)
        (tmp_path / "reader").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "reader")
        monkeypatch.syspath_prepend(str(tmp_path / "reader"))
        monkeypatch.setenv("RLHF_ALLOW_TARGETS", "my_rewards")
        for name in ("KEY", "PASSWORD"):  # secrets that commands have before them
            monkeypatch.setenv(name, "...")

    yield go
    sys.modules.pop("my_rewards", None)


def faults_of(words, own_piece):
    """What refuses a command before its data are read."""
    words = [word for word in words if word != "--allow-targets=my_rewards"]  # `reader` allows it
    words = [word for word in words if word not in ("...", "[run]")]
    if words[-1:] in (["--version"], ["--help"]):
        return []
    name = words[0] if words else ""
    if name in commands.names() and name != "run":
        module = commands.module(name)
        if hasattr(module, "_parser"):
            module._parser().parse_args(words[1:])  # it leaves by SystemExit
        if name != "doctor":
            return []
    words = words[1:] if name in ("run", "doctor") else words
    package = None
    if "--allow-targets" in words:
        at = words.index("--allow-targets")
        package = words[at + 1]
        words = [*words[:at], *words[at + 2 :]]
    args, unknown = get_args_parser().parse_known_args(words)
    assert not [word for word in unknown if word.startswith("-")], unknown
    folder = own_piece(package) if package else args.config_dir
    with session(folder) as hydra:
        settings = [*args.overrides, *unknown]
        return plan(hydra, settings, multirun=args.multirun).faults


@pytest.mark.parametrize(("place", "words", "below"), BLOCKS, ids=[place for place, *_ in BLOCKS])
def test_commands_of_code_blocks(place, words, below, own_piece, reader):
    reader(place)
    faults = faults_of(words, own_piece)
    if "wrong with this command" in below.partition("rlhf")[0]:  # shown for how it is refused
        assert faults
        assert all(fault in below for fault in faults)
    else:
        assert faults == []


@pytest.mark.parametrize(("place", "words", "below"), INLINE, ids=[place for place, *_ in INLINE])
def test_commands_within_sentences(place, words, below, own_piece, reader):
    reader(place)
    incomplete = "needs a value: write"
    assert [f for f in faults_of(words, own_piece) if incomplete not in f] == []


def test_there_are_many():
    """So that a change of the pages' form cannot empty the test."""
    assert len(BLOCKS) >= 30
    assert len(INLINE) >= 5
    assert {"README.md", "docs/how-to/data.md"} <= {place.partition(":")[0] for place, *_ in BLOCKS}
