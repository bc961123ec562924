"""Which variables of the environment are filled in, and which stay as they are written."""

import pytest
from omegaconf import OmegaConf

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.config.composition.environment import without_secrets
from rlhf.config.composition.resolve import resolve
from rlhf.config.naming import run_hash
from rlhf.config.validate import ConfigError
from rlhf.rundir.secrets.redact import redact_value

OWN = ["scorer._target_=scorers_of_environment.Scorer"]
SCORER = """
class Scorer:
    needs_reward_model = False
    def __init__(self, **given):
        self.given = given
"""


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    (tmp_path / "scorers_of_environment.py").write_text(SCORER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "scorers_of_environment")
    values = {
        "KEY": "k3y-of-mine",
        "PW": "pa55word",
        "WHERE": "eu-west",
        "COEF": "0.3",
        "PIN": "1234",
        "URI": "https://h:5000",
        "SCRATCH": "/scratch/me",
        "MORE": "{token: t0ken5, n: [1, '${oc.env:WHERE}']}",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def cfg(*words):
    return validate(compose([*OWN, *words]))


def test_secrets_and_what_the_schema_does_not_know_stay_as_they_are_written():
    words = {
        "api_key": "${oc.env:KEY}",
        "header": "Bearer ${oc.env:KEY}",
        "again": "${scorer.api_key}",
        "region": "${oc.env:WHERE}",
        "default": "${oc.env:NOBODY,'x'}",
        "key": "${oc.decode:${oc.env:PIN}}",
        "options": "${oc.decode:${oc.env:MORE}}",
        "made": "${oc.create:${oc.decode:${oc.env:MORE}}}",
        "parts": "[a,'${oc.env:WHERE}']",
        "threads": "${oc.decode:${oc.env:PIN}}",
        "plain": "text",
    }
    config = cfg(*(f"+scorer.{k}={v if v[0] == '[' else repr(v)}" for k, v in words.items()))
    plain = config.plain()["scorer"]
    expected = words | {
        "again": "${oc.env:KEY}",
        "made": "${oc.decode:${oc.env:MORE}}",
        "parts": ["a", "${oc.env:WHERE}"],
        "threads": 1234,  # a number is no secret, and decides
        **{k: plain[k] for k in ("missing_eos", "missing_eos_value", "reward_clip")},
    }
    assert {k: v for k, v in plain.items() if k not in ("_target_", "_name_")} == expected
    more = {"token": "t0ken5", "n": [1, "eu-west"]}
    assert {k: build(config.scorer).given[k] for k in words} == {
        **words,
        "api_key": "k3y-of-mine",
        "header": "Bearer k3y-of-mine",
        "again": "k3y-of-mine",
        "region": "eu-west",
        "default": "x",
        "key": 1234,
        "options": more,
        "made": more,
        "parts": ["a", "eu-west"],
        "threads": 1234,
    }


def test_a_rotated_key_is_the_same_run_and_another_coefficient_is_not(monkeypatch):
    words = ["+scorer.api_key='${oc.env:KEY}'", "kl.coef='${oc.decode:${oc.env:COEF}}'"]
    before = cfg(*words)
    monkeypatch.setenv("KEY", "another-key")
    rotated = cfg(*words)
    assert rotated == before and rotated.paths.run_name == before.paths.run_name
    assert build(rotated.scorer).given["api_key"] == "another-key"
    monkeypatch.setenv("COEF", "0.4")
    other = cfg(*words)
    assert (before.kl.coef, other.kl.coef) == (0.3, 0.4)
    assert other.paths.run_name != before.paths.run_name
    assert before.paths.run_name == f"kl0.3-fixed-seed0-{run_hash(before.plain())}"


def test_what_the_schema_knows_is_filled_in():
    """It decides the result, or where the run lies: left open, two models would be one run."""
    config = cfg("model=hf", "model.path='${oc.env:WHERE}'", "paths.outputs='${oc.env:SCRATCH}/o'")
    assert config.model.path == "eu-west"
    assert config.paths.run_dir.startswith("/scratch/me/o/default/")
    assert config.tracking.uri == "sqlite:////scratch/me/o/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://me:${oc.env:PW}@h", "${oc.env:URI}", "https://h/?token=${oc.env:KEY}"]
)
def test_an_address_of_a_server_stays_as_it_is_written(uri):
    tracking = cfg(f"tracking.uri='{uri}'").tracking
    assert tracking.uri == uri
    assert build(tracking).uri == uri


def test_an_address_with_a_password_stays_elsewhere_too():
    place = "https://me:${oc.env:PW}@h/model"
    config = cfg("model=hf", f"model.path='{place}'")
    assert config.model.path == place
    assert build(config.model).path == "https://me:pa55word@h/model"


def test_a_kept_config_is_the_same_config():
    config = cfg("+scorer.api_key='${oc.env:KEY}'", "+scorer.x='${oc.decode:${oc.env:MORE}}'")
    kept = OmegaConf.create(OmegaConf.to_yaml(config.plain()))
    assert validate(kept) == config
    assert validate(config.plain()) == config
    assert run_hash(resolve(kept)[0]) == run_hash(config.plain())


def test_a_kept_config_asks_the_environment_again(monkeypatch):
    kept = cfg("+scorer.api_key='${oc.env:KEY}'").plain()
    monkeypatch.setenv("KEY", "new-key-of-mine")
    assert build(validate(kept).scorer).given["api_key"] == "new-key-of-mine"
    monkeypatch.delenv("KEY")
    with pytest.raises(ConfigError, match="scorer.api_key: .*Environment variable 'KEY' not found"):
        validate(kept)
    with pytest.raises(ValueError, match="KEY of the environment, which is not set"):
        build({**kept["scorer"], "_name_": ""})


def test_a_secret_that_was_given_as_text_is_asked_for():
    config = cfg("+scorer.api_key=k3y-of-mine", "tracking.uri=http://me:pa55word@h")
    assert build(config.scorer).given["api_key"] == "k3y-of-mine"
    kept = redact_value("", config.plain())
    assert "k3y-of-mine" not in str(kept) and "pa55word" not in str(kept)
    with pytest.raises(ConfigError) as refused:
        validate(kept)
    assert refused.value.faults == [
        "scorer.api_key: was given as text and is not written down: put ${oc.env:NAME} there, and"
        " NAME=... in the environment"
    ]


def test_a_sweeps_own_file_has_no_secret(planned):
    words = ["+scorer.api_key=k3y-of-mine", "tracking.uri=http://me:pa55word@h", *OWN]
    composed = planned(*words).composed
    text = OmegaConf.to_yaml(without_secrets(composed))
    assert "k3y-of-mine" in OmegaConf.to_yaml(composed)
    assert "k3y-of-mine" not in text and "pa55word" not in text
    assert "+scorer.api_key=***" in text and "${paths.run_dir}" in text
