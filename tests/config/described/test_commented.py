"""A YAML file with its comments."""

import pytest
from omegaconf import OmegaConf

from rlhf.config.described.commented import read
from rlhf.config.plugins.folders import conf_dir

FILE = """\
# @package kl
# What it is,
# and where it comes from
defaults:
  - coef: medium             # how strong?
  - override /advantage: grpo
  - /optimizer@optimizer: adam
  - default
  - _self_

a: 1                         # beside it
b: "x # y"                   # beside a text with a mark,
                             # and on the next line
# above it
c: |-
  a text
  # of its own
d: 1e-5
inner:                       # of a mapping
  e: [1, 2]                  # of a list
  # above an inner one
  f: null
last:
piece:                       # of a class
  _target_: mine.Piece
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "option.yaml"
    path.write_text(FILE)
    return read(path, "kl")


def test_head_and_package(file):
    assert (file.head, file.package) == ("What it is, and where it comes from", "kl")


def test_each_key_with_its_comment(file):
    comments = {".".join(entry.path): (entry.value, entry.comment) for entry in file.entries}
    assert comments == {
        "a": (1, "beside it"),
        "b": ("x # y", "beside a text with a mark, and on the next line"),
        "c": ("a text\n# of its own", "above it"),
        "d": (1e-5, ""),
        "inner": ({"e": [1, 2], "f": None}, "of a mapping"),
        "inner.e": ([1, 2], "of a list"),
        "inner.f": (None, "above an inner one"),
        "last": (None, ""),
        "piece": ({"_target_": "mine.Piece"}, "of a class"),
        "piece._target_": ("mine.Piece", "of a class"),
    }


def test_what_it_chooses_and_stands_on(file):
    chosen = [(each.group, each.option, each.package, each.comment) for each in file.defaults]
    assert chosen == [
        ("kl/coef", "medium", None, "how strong?"),
        ("advantage", "grpo", None, ""),
        ("optimizer", "adam", "optimizer", ""),
        ("kl", "default", None, ""),
        ("", "_self_", None, ""),
    ]


def test_an_empty_file(tmp_path):
    (tmp_path / "none.yaml").write_text("{}\n")
    assert read(tmp_path / "none.yaml").entries == ()


def test_values_are_those_that_hydra_reads():
    for path in conf_dir().rglob("*.yaml"):
        plain = OmegaConf.to_container(OmegaConf.load(path)) or {}
        plain.pop("defaults", None)
        top = {each.path[0]: each.value for each in read(path).entries if len(each.path) == 1}
        assert top == plain, path
