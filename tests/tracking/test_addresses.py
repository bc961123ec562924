"""An address is written down without its password, and connected to with it."""

import pytest

from rlhf.tracking import addresses
from rlhf.tracking.addresses import absolute_uri, whole_uri, written_uri
from rlhf.tracking.links import page, ui_command
from rlhf.tracking.state import open_state

LITERAL = "http://me:pa55word@h:5000"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(addresses, "_passwords", {})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PW", "pa55word")


def state(directory, uri):
    return open_state(directory, uri=uri, experiment="e", name="n", params={}, tags={})


def test_tracking_json_has_no_password(tmp_path):
    assert state(tmp_path, LITERAL)["uri"] == "http://***@h:5000"
    assert "pa55word" not in (tmp_path / "tracking.json").read_text()
    # the same command again: the same store, by the same key
    key = state(tmp_path, LITERAL)["key"]
    assert state(tmp_path, "http://me:rotated5@h:5000")["key"] == key
    assert (
        state(tmp_path, "http://me:${oc.env:PW}@h:5000")["uri"] == "http://me:${oc.env:PW}@h:5000"
    )


def test_the_password_of_this_process_is_used():
    with pytest.raises(
        ValueError, match=r"the password of http://\*\*\*@h:5000 is not written down"
    ):
        whole_uri("http://***@h:5000")
    assert written_uri(LITERAL) == "http://***@h:5000"
    assert whole_uri("http://***@h:5000") == LITERAL


def test_the_whole_address_may_stand_in_the_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", LITERAL)
    assert whole_uri("http://***@h:5000") == LITERAL
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:pa55word@elsewhere")
    with pytest.raises(ValueError, match="is not written down"):
        whole_uri("http://***@h:5000")


def test_a_variable_is_looked_up_when_it_is_connected(monkeypatch, tmp_path):
    uri = "http://me:${oc.env:PW}@h:5000"
    assert absolute_uri(uri) == uri
    assert whole_uri(uri) == LITERAL
    assert page(uri) == "http://***@h:5000/" and ui_command(uri) is None
    monkeypatch.setenv("PW", "rotated5")
    assert whole_uri(uri) == "http://me:rotated5@h:5000"
    monkeypatch.setenv("PLACE", str(tmp_path))
    assert absolute_uri("sqlite:///${oc.env:PLACE}/m.db") == f"sqlite:///{tmp_path}/m.db"
    assert page("${oc.env:NOBODY}") == "http://127.0.0.1:5000/"
    with pytest.raises(ValueError, match="NOBODY of the environment"):
        absolute_uri("http://${oc.env:NOBODY}@h")


@pytest.mark.parametrize(
    ("uri", "instead"), [("my.db", "my.db"), ("./mlruns/", "./mlruns/mlflow.db")]
)
def test_the_address_to_write_for_a_path(uri, instead):
    with pytest.raises(ValueError) as error:
        absolute_uri(uri)
    assert str(error.value).endswith(f"write sqlite:///{instead}")
