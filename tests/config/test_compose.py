import pytest
from omegaconf import OmegaConf

import rlhf
from rlhf.config.compose import ConfigError, compose, validate


def test_compose_resolves_outside_of_hydra():
    config = compose(["kl.coef=0.1", "kl/controller=linear"])
    assert "hydra" not in config
    assert config.kl.controller.iterations == config.ppo.iterations
    assert config.paths.run_name.startswith("kl0.1-linear-seed0-")
    assert (
        OmegaConf.to_container(config, resolve=True)["paths"]["run_dir"]
        == f"outputs/default/{config.paths.run_name}"
    )


def test_the_name_follows_a_change_in_the_notebook():
    config = compose()
    before = config.paths.run_name
    config.seed = 5
    assert config.paths.run_name != before
    assert "seed5" in config.paths.run_name


def test_typed():
    config = validate(compose(["kl.coef=1"]))
    assert type(config.kl.coef) is float
    assert config.plain()["kl"]["controller"] == {"_target_": "rlhf.kl.controller.Fixed"}
    assert validate(config.plain()) == config


def test_faults_are_listed():
    with pytest.raises(ConfigError) as wrong_names:
        compose(["modle=hf", "kl/reference=emma", "kl.coef=0,1"])
    assert len(wrong_names.value.faults) == 3
    with pytest.raises(ConfigError) as wrong_values:
        validate(compose(["kl.coef=abc", "sft.epochs=0"]))
    assert len(wrong_values.value.faults) == 2


def test_groups_of_the_users_own(tmp_path):
    (tmp_path / "kl" / "coef").mkdir(parents=True)
    (tmp_path / "kl" / "coef" / "mine.yaml").write_text("# @package kl\ncoef: 0.123\n")
    assert compose(["kl/coef=mine"], config_dir=tmp_path).kl.coef == 0.123
    assert compose(["kl/coef=low"], config_dir=tmp_path).kl.coef == 0.02


def test_package_offers_it():
    assert rlhf.compose is compose
    assert rlhf.__version__
    with pytest.raises(AttributeError):
        rlhf.nothing  # noqa: B018


def test_one_text_is_no_list_of_settings():
    with pytest.raises(ConfigError, match=r"compose\(\['kl.coef=0.1'\]\)"):
        compose("kl.coef=0.1")


def test_what_is_imported_on_first_use_is_listed():
    """A notebook completes `rlhf.` from it."""
    assert {"compose", "run", "validate"} <= {*dir(rlhf)}
