"""What a session was opened with."""

import pytest

from rlhf.config import allow
from rlhf.config.composition.session import own_folder, session


def test_the_folder_of_the_users_own_groups_as_it_is_from_here(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    with session("mine") as hydra:
        assert own_folder(hydra) == ["--config-dir=mine"]
        monkeypatch.chdir(tmp_path / "here")
        assert own_folder(hydra) == [f"--config-dir={tmp_path}/mine"]
    with session() as hydra:
        assert own_folder(hydra) == []


@pytest.mark.parametrize(("given", "flags"), [("", []), (",a,b,a", ["--allow-targets=a,b"])])
def test_what_is_allowed_as_an_option(monkeypatch, given, flags):
    monkeypatch.setenv(allow.ENVIRONMENT, given)
    assert allow.allowed_flags() == flags
