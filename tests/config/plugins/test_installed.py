"""Entry points of real distributions on Python's path: what they bring, and what is wrong."""

import sys

import pytest

from rlhf.config.plugins.installed import installed
from tests.plugins import write_distribution, write_package

YAML = {"conf/kl/controller/toy.yaml": "_target_: toys.controller.Toy\n"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on Python's path that is not the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[name]


def faults():
    return [plugin.fault for plugin in installed()]


def test_a_package_is_not_imported(site):
    write_package(site, "toys", {**YAML, "__init__.py": "raise RuntimeError('imported')"})
    write_distribution(site, "rlhf-toys", {"toy": "toys"})
    (plugin,) = installed()
    assert str(plugin) == "plugin toy of rlhf-toys 1.0" and plugin.fault == ""
    assert plugin.conf == site / "toys" / "conf" and plugin.targets == ("toys",)
    assert plugin.yamls == ("kl/controller/toy.yaml",)
    assert "toys" not in sys.modules


def test_a_package_within_a_package(site):
    files = {"__init__.py": "", **YAML}
    write_package(site, "toys", {f"rlhf_part/{name}": text for name, text in files.items()})
    write_distribution(site, "rlhf-toys", {"toy": "toys.rlhf_part"})
    (plugin,) = installed()
    assert plugin.conf == site / "toys" / "rlhf_part" / "conf"
    assert plugin.targets == ("toys.rlhf_part",)


DECLARED = """
from pathlib import Path

from rlhf.config.plugins import Plugin

plugin = Plugin(conf=Path(__file__).parent / "groups", targets={targets})
"""


def test_an_object(site):
    text = DECLARED.format(targets="['toys', 'helpers.toys']")
    write_package(site, "toys", {"there.py": text, "groups/scorer/toy.yaml": ""})
    write_distribution(site, "rlhf-toys", {"toy": "toys.there:plugin"})
    (plugin,) = installed()
    assert plugin.conf == site / "toys" / "groups"
    assert plugin.targets == ("toys", "helpers.toys")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("gone", "there is no module gone, or"),
        ("toys.controller", "toys.controller is a module; expected a package with a folder conf"),
        ("toys.other", "its folder of config groups is not there:"),
        ("toys:plugin", "AttributeError(\"module 'toys' has no attribute 'plugin'\")"),
        ("toys.none", "there is no module toys.none, or no __init__.py in its folder"),
        ("toys = 3", "'toys = 3' is no package and no module:name"),
        ("toys:number", "toys:number is a int; expected a rlhf.config.plugins.Plugin"),
        ("toys.broken:plugin", "ZeroDivisionError('division by zero')"),
    ],
)
def test_a_broken_one_says_why_and_leaves_the_others(value, fault, site):
    files = {"controller.py": "", "other/__init__.py": "", "broken.py": "1 / 0", "none/a.txt": ""}
    write_package(site, "toys", {**YAML, **files, "__init__.py": "number = 3"})
    write_distribution(site, "rlhf-toys", {"broken": value, "toy": "toys"})
    broken, toy = installed()
    assert broken.fault.startswith(fault) and broken.targets == () and broken.conf is None
    assert toy.fault == ""


@pytest.mark.parametrize(
    "target", ["rlhf.kl", "os", "subprocess", "transformers_modules", "hydra_plugins.toys"]
)
def test_a_plugin_allows_its_own_packages_alone(target, site):
    write_package(
        site, "toys", {"there.py": DECLARED.format(targets=[target]), "groups/a.yaml": ""}
    )
    write_distribution(site, "rlhf-toys", {"toy": "toys.there:plugin"})
    assert faults() == [f"targets: {target} is not the plugin's own to allow"]


def test_a_target_is_a_package(site):
    text = DECLARED.format(targets=["toys "])
    write_package(site, "toys", {"there.py": text, "groups/a.yaml": ""})
    write_distribution(site, "rlhf-toys", {"toy": "toys.there:plugin"})
    assert faults() == ["targets: 'toys ' is no name of a package"]


@pytest.mark.parametrize(
    ("conf", "targets", "fault"),
    [
        ("__file__", "'toys'", "targets: 'toys' is a text; expected a list of packages"),
        ("'groups'", "['toys']", "conf: groups: expected an absolute path, of Path(__file__)"),
    ],
)
def test_what_a_plugin_says_of_itself_is_checked(conf, targets, fault, site):
    text = f"from rlhf.config.plugins import Plugin\nplugin = Plugin({conf}, {targets})\n"
    write_package(site, "toys", {"there.py": text})
    write_distribution(site, "rlhf-toys", {"toy": "toys.there:plugin"})
    assert faults() == [fault]


def test_metadata_that_cannot_be_read(site):
    folder = write_distribution(site, "rlhf-toys", {"toy": "toys"})
    (folder / "entry_points.txt").write_bytes(b"[rlhf.plugins]\ntoy = \xff\xff")
    write_package(site, "others", YAML)
    write_distribution(site, "rlhf-others", {"other": "others"})
    first, other = sorted(installed(), key=lambda plugin: plugin.name)
    assert first.distribution == str(folder) and "cannot be read" in first.fault
    assert other.name == "other" and other.fault == ""


def test_the_working_directory_is_not_installed(site, monkeypatch):
    """A folder that somebody goes to must not open anything by lying there."""
    write_package(site, "toys", YAML)
    write_distribution(site, "rlhf-toys", {"toy": "toys"})
    assert len(installed()) == 1
    monkeypatch.chdir(site)
    assert installed() == ()
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert installed() == ()


def test_the_first_of_two_versions_on_the_path(site, tmp_path, monkeypatch):
    write_package(site, "toys", YAML)
    write_distribution(site, "rlhf-toys", {"toy": "toys"}, version="1.0")
    (tmp_path / "later").mkdir()
    write_distribution(tmp_path / "later", "rlhf-toys", {"toy": "toys"}, version="2.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later")])
    assert [plugin.version for plugin in installed()] == ["1.0"]
