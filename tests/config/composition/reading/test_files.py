"""What is read quickly is what OmegaConf reads."""

import zipfile
from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from rlhf.config.composition.reading.files import parsed
from rlhf.config.plugins.folders import conf_dir

FILES = [
    *conf_dir().rglob("*.yaml"),
    *(Path(hydra.__file__).parent / "conf").rglob("*.yaml"),
]


def quickly(path):
    with open(path, encoding="utf-8") as file:
        return parsed(file)


def test_every_file_of_settings():
    assert len(FILES) > 200
    differing = [path for path in FILES if quickly(path) != OmegaConf.load(path)]
    assert differing == []


VALUES = """
numbers: [1, 1_000, 0x1F, 1e3, 1.5e-3, -.inf, .nan, 12:30, 0.1, "1", 007]
words: [yes, no, on, ~, null, True, 2020-01-01, "yes" , "${numbers}", '']
text: |
  two
    lines
folded: >-
  one
  line
anchored: &a {x: 1, y: [é, 日本, \U0001f600]}
again: *a
merged: {<<: *a, x: 2}
1: int
"""


def test_values_of_all_kinds(tmp_path):
    (tmp_path / "a.yaml").write_text(VALUES, encoding="utf-8")
    quick, plain = quickly(tmp_path / "a.yaml"), OmegaConf.load(tmp_path / "a.yaml")
    assert repr(OmegaConf.to_container(quick)) == repr(OmegaConf.to_container(plain))


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [1\n", "a: 'b\n", "\ta: 1\n", "5", "!!x a"])
def test_a_fault_is_told_in_the_usual_words(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with open(tmp_path / "a.yaml") as file, pytest.raises((yaml.YAMLError, OSError)) as plain:
        OmegaConf.load(file)
    with pytest.raises((yaml.YAMLError, OSError)) as quick:
        quickly(tmp_path / "a.yaml")
    assert (type(quick.value), str(quick.value)) == (type(plain.value), str(plain.value))


def test_a_file_that_changed_is_read_again(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    first = quickly(file)
    first.a = 7  # nobody else's
    assert quickly(file) == {"a": 1}
    file.write_text("a: 2")
    assert quickly(file) == {"a": 2}
    (tmp_path / "b.yaml").write_text("")
    (tmp_path / "b.yaml").replace(file)
    assert quickly(file) == {}


def test_a_file_within_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.yaml", "a: 1")
    with zipfile.Path(tmp_path / "a.zip", "a.yaml").open("rb") as file:
        assert parsed(file) == {"a": 1}
