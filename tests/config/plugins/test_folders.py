"""Which folder gives an option, and which plugins are left out of it."""

import sys
import warnings

import pytest

from rlhf.config.allow import user_allowed
from rlhf.config.plugins.folders import conf_dir, conf_folders
from tests.plugins import write_distribution, write_package

TOY = "_target_: {}.controller.Toy\nstep: 0.5\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def add(site, package, *yamls):
    files = {f"conf/{name}.yaml": TOY.format(package) for name in yamls}
    write_package(site, package, files)
    write_distribution(site, f"rlhf-{package}", {package: package})
    return site / package / "conf"


def test_ours_then_plugins_then_ones_own(site, tmp_path):
    first, second = add(site, "alpha", "kl/controller/a"), add(site, "beta", "kl/controller/b")
    (tmp_path / "mine").mkdir()
    folders = conf_folders("mine")
    assert folders.paths == (conf_dir(), first, second, tmp_path / "mine")
    assert folders.warnings == []


def test_none(site):
    assert conf_folders().paths == (conf_dir(),)
    assert not user_allowed("alpha.controller.Toy")


def test_a_plugin_in_use_allows_its_package(site):
    add(site, "alpha", "kl/controller/a")
    assert user_allowed("alpha.controller.Toy") and not user_allowed("alphabet.controller.Toy")


@pytest.mark.parametrize("name", ["kl/controller/pid", "config", "hydra/launcher/local"])
def test_an_option_of_ours_is_not_replaced(name, site):
    conf = add(site, "alpha", "kl/controller/a", name)
    assert conf_folders().paths == (conf_dir(),)
    assert conf_folders().warnings == [
        f"the plugin alpha of rlhf-alpha 1.0 is left out: {conf / name}.yaml has the name of"
        f" {conf_dir() / name}.yaml"
    ]
    assert not user_allowed("alpha.controller.Toy")


def test_hydras_own_options_are_not_replaced(site):
    add(site, "alpha", "hydra/job_logging/stdout")
    (warning,) = conf_folders().warnings
    assert warning.endswith("hydra/conf/hydra/job_logging/stdout.yaml")


def test_of_two_plugins_the_first_by_name(site):
    first, second = add(site, "alpha", "kl/controller/a"), add(site, "beta", "kl/controller/a")
    folders = conf_folders()
    assert folders.paths == (conf_dir(), first)
    (warning,) = folders.warnings
    assert "rlhf-beta" in warning and str(first) in warning and str(second) in warning
    assert user_allowed("alpha.controller.Toy") and not user_allowed("beta.controller.Toy")


def test_a_file_of_ones_own_comes_first(site, tmp_path):
    add(site, "alpha", "kl/controller/a")
    own = tmp_path / "mine" / "kl" / "controller" / "a.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: mine.A\n")
    folders = conf_folders(tmp_path / "mine")
    assert folders.plugins == () and folders.warnings[0].endswith(f"has the name of {own}")


def test_no_such_folder():
    with pytest.raises(FileNotFoundError, match="--config-dir=gone: no such folder"):
        conf_folders("gone")


def test_from_python_it_is_a_warning(site):
    from rlhf import compose

    write_distribution(site, "rlhf-toys", {"toy": "gone"})
    with pytest.warns(UserWarning, match="of rlhf-toys 1.0 is left out: there is no module gone"):
        config = compose(["kl.coef=0.1"])
    assert config.kl.coef == 0.1
    sys.path.remove(str(site))
    with warnings.catch_warnings(action="error"):
        compose()
