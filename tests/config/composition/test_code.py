"""The code of a user's function is a part of what decides a run."""

import sys

import pytest

from rlhf.config.build import build, user_function
from rlhf.config.compose import compose, validate
from rlhf.config.composition.judged.code import code_of, module_of, source_of
from rlhf.config.naming import run_hash
from rlhf.config.validate import ConfigError

MAIN = "from my_words import GOOD\n\ndef helpful(responses, strength=1.0):\n    return [strength]\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a module, one that it imports, and a package; all allowed."""
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "my_main,my_words,my_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rlhf.config.build._imported", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_main.py").write_text(MAIN)
    (tmp_path / "my_words.py").write_text("GOOD = {'great'}\n")
    inner = tmp_path / "my_package" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "my_package" / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("from .rewards import short\n")
    (inner / "rewards.py").write_text("from ..words import W\n\ndef short(responses): ...\n")
    (tmp_path / "my_package" / "words.py").write_text("W = 1\n")
    (tmp_path / "my_package" / "other.py").write_text("")
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0].startswith("my_")]:
        del sys.modules[name]


def test_a_module_is_found_without_running_it(home):
    (home / "my_bomb.py").write_text("raise SystemExit('it ran')\n")
    assert source_of("my_bomb") == home / "my_bomb.py"
    assert module_of("my_package.inner.short") == "my_package.inner"
    assert module_of("my_package.inner.rewards.short.attribute") == "my_package.inner.rewards"
    assert module_of("nowhere.short") is None and source_of("my_main.nothing") is None
    assert "my_package" not in sys.modules


@pytest.mark.parametrize(
    ("address", "changes", "same"),
    [
        ("my_main.helpful", ["my_main.py", "my_words.py"], ["my_package/words.py"]),
        (
            "my_package.inner.short",
            ["my_package/inner/__init__.py", "my_package/inner/rewards.py", "my_package/words.py"],
            ["my_package/other.py", "my_words.py"],
        ),
    ],
)
def test_files_that_decide(home, address, changes, same):
    before = code_of([address])
    assert len(before) == 16
    for name in [*changes, *same]:
        path = home / name
        kept = path.read_text()
        path.write_text(kept + "# another\n")
        assert (code_of([address]) != before) is (name in changes), name
        path.write_text(kept)
    assert code_of([address]) == before


def test_what_is_not_allowed_is_not_read(home, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "my_main")
    before = code_of(["my_main.helpful"])
    (home / "my_words.py").write_text("GOOD = {'fine'}\n")
    assert code_of(["my_main.helpful"]) == before
    assert code_of(["my_package.inner.short"]) == "" == code_of([None])


LINES = ("scorer=function", "scorer.function=my_main.helpful")


def test_another_code_is_another_run(home):
    first = validate(compose(LINES))
    again = validate(compose(LINES))
    assert first.scorer.code and run_hash(first.plain()) == run_hash(again.plain())
    (home / "my_main.py").write_text(MAIN + "\n# changed\n")
    sys.modules.pop("my_main", None)
    from rlhf.config import build as module

    module._imported.clear()
    assert run_hash(validate(compose(LINES)).plain()) != run_hash(first.plain())
    with pytest.raises(ConfigError, match="its code is not that of the config, which was kept"):
        validate(first.plain())


def test_the_code_is_written_for_parts_too(home):
    lines = ("scorer=combined", "+scorer@scorer.parts.own=function")
    cfg = validate(compose([*lines, "scorer.parts.own.function=my_main.helpful"]))
    assert cfg.scorer.parts["own"].code == code_of(["my_main.helpful"])
    assert cfg.paths.run_name.endswith(run_hash(cfg.plain()))


def test_a_function_that_was_changed_in_the_same_process(home):
    """What is in memory is the old code: nothing would be what its record says."""
    user_function("my_main.helpful")
    (home / "my_main.py").write_text(MAIN + "\n# changed\n")
    with pytest.raises(ValueError, match="its code has changed since: start Python again"):
        user_function("my_main.helpful")


def test_build_gives_the_function(home):
    scorer = build(validate(compose(LINES)).scorer)
    assert scorer.function is sys.modules["my_main"].helpful


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["scorer.function=os.system"], "os.system is not an allowed function. Functions of your"),
        (["scorer.function=my_main.nothing"], "cannot be imported: there is no such module or"),
        (["scorer.function=my_main.GOOD"], "is of the type set"),
        (["scorer.function=my_main.helpful", "+scorer.arguments.size=1"], "has no parameter size"),
        (["scorer.function=my_broken.helpful"], "cannot be imported: SyntaxError"),
        (["scorer.function=my_words.os.system"], "is really posix.system, which is not an allowed"),
    ],
)
def test_refused_with_the_command(home, monkeypatch, lines, sentence):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "my_main,my_words,my_broken")
    (home / "my_broken.py").write_text("def helpful(:\n")
    (home / "my_words.py").write_text("import os\n\nGOOD = set()\n")
    with pytest.raises(ConfigError) as refused:
        validate(compose(["scorer=function", *lines]))
    assert sentence in str(refused.value)
