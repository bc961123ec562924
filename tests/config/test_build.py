import subprocess
import sys

import pytest

from rlhf.config.build import build, is_allowed
from rlhf.config.pieces.base import BY_ADDRESS, Custom
from rlhf.config.pieces.trust_region import Unlimited

REFUSED = [
    "os._exit",
    "builtins.getattr",
    "pathlib.Path",
    "torch.load",
    "torch.optim.lr_scheduler.LambdaLR",
    "rlhf.commands.runs.run.os._exit",
    "rlhf.commands.runs.run.main",
    "",
    None,
    ["os._exit"],
    {"a": 1},
    5,
]


@pytest.mark.parametrize("target", REFUSED)
def test_only_named_classes_are_built(target):
    assert not is_allowed(target)
    with pytest.raises(ValueError, match="not an allowed class"):
        build({"_target_": target})


def test_nested_targets_are_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "collections")
    victim = tmp_path / "file"
    victim.touch()
    with pytest.raises(ValueError, match="pathlib.Path"):
        build(
            {
                "_target_": "collections.Counter",
                "a": {"b": [{"_target_": "pathlib.Path", "_args_": [str(victim)]}]},
            }
        )
    assert victim.exists()


def test_a_package_is_allowed_on_a_dot_boundary(monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "collections, mine.kl")
    assert is_allowed("collections.Counter")
    assert is_allowed("mine.kl.Fixed")
    assert not is_allowed("collections_evil.Counter")
    assert not is_allowed("mine.klx.Fixed")
    assert not is_allowed("collections")


def test_an_allowed_package_does_not_lend_its_name(monkeypatch):
    """logging.os is the module os."""
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "logging")
    with pytest.raises(ValueError, match="really"):
        build({"_target_": "logging.os.getcwd"})


def test_custom_piece_with_live_objects(monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "fractions")
    live = Custom.model_validate({"_target_": "fractions.Fraction", "numerator": 3})
    assert build(live, denominator=4) == 0.75


def test_live_objects_arrive_as_they_are(monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "types")
    rows = [object(), (1, 2)]
    made = build({"_target_": "types.SimpleNamespace", "values": [1, 2]}, rows=rows)
    assert made.rows is rows
    assert type(made.values) is list


def test_what_stands_in_a_text_is_not_followed(tmp_path, monkeypatch):
    """Resolved a second time, an escaped interpolation would be a class that nobody has checked."""
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "types")
    text = "${oc.create:{_target_: pathlib.Path, _args_: [x]}}"
    assert build({"_target_": "types.SimpleNamespace", "text": text}).text == text
    monkeypatch.setenv("HOSTILE", "{_target_: os.getcwd}")
    decoded = {"_target_": "types.SimpleNamespace", "x": "${oc.decode:${oc.env:HOSTILE}}"}
    with pytest.raises(ValueError, match=r"os\.getcwd is not an allowed class"):
        build(decoded)


def test_an_escaped_interpolation_of_a_config_builds_nothing(planned, tmp_path):
    mark = tmp_path / "executed"
    call = f"{{_target_: pathlib.Path.touch, self: {{_target_: pathlib.Path, _args_: [{mark}]}}}}"
    line = f'model.path="\\${{oc.create:{call}}}"'
    (job,) = planned("model=hf", line).jobs
    assert job.config.model.path == f"${{oc.create:{call}}}"
    assert build(job.config.model).path == f"${{oc.create:{call}}}"
    assert not mark.exists()


def test_the_words_of_hydras_instantiate(monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "fractions, types, operator")
    half = {"_target_": "fractions.Fraction", "_args_": [1, 2], "_convert_": "all"}
    of = {"_target_": "types.SimpleNamespace"}
    assert build({**of, "x": [half, {"y": half}]}).x == [0.5, {"y": 0.5}]
    assert build({**of, "x": half, "_recursive_": False}).x == half
    later = build({**of, "x": {**half, "_args_": [1], "_partial_": True}}).x
    assert later(4) == 0.25
    assert build({**of, "pair": (1, 2)}).pair == [1, 2]


def test_known_pieces():
    ours = {"torch.optim.AdamW", "rlhf.kl.controller.PID", "rlhf.kl.estimator.Exact"}
    assert ours <= BY_ADDRESS.keys()
    assert (
        type(
            build(Unlimited.model_validate({"_target_": "rlhf.modules.trust_region.Unlimited"}))
        ).__name__
        == "Unlimited"
    )


def test_allowing_comes_from_outside_the_config(planned, monkeypatch, tmp_path):
    (tmp_path / "of_mine.py").write_text(
        "class Controller:\n    def __init__(self, coef, anything): pass"
    )
    monkeypatch.syspath_prepend(tmp_path)
    line = "kl.controller._target_=of_mine.Controller"
    assert any("not an allowed class" in fault for fault in planned(line).faults)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "of_mine")
    found = planned(line, "+kl.controller.anything=1")
    assert found.faults == []
    assert found.jobs[0].config.kl.controller.model_extra == {"anything": 1}
    # what its constructor refuses is refused with the command
    assert any("argument: 'anything'" in fault for fault in planned(line).faults)


def test_refusing_imports_nothing(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit(7)")
    code = (
        "from rlhf.config.build import build\ntry:\n    build({'_target_': 'evil.run'})\nexcept"
        " ValueError:\n    print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{tmp_path}:."},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "refused\n"
