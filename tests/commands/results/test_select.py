"""rlhf select: what it prints, its JSON, its refusals."""

import json

import pytest

from rlhf.commands.results.select import main
from rlhf.compare.choice.candidates import candidates
from rlhf.compare.choice.words import commands, export_words
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.study import study
from tests.compare.made import make_path, realign, spend

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5), 0.01: (9.0, 3.0, 0.2)}
STOPS = {0.0: (0.0, 0.0, 1.0), 0.5: (2.0, 0.8, 1.3), 1.0: (5.0, 1.0, 1.4)}


@pytest.fixture
def places(rundirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_path(rundirs, tmp_path / "sweep" / "p", ENDS, seconds=10.0)
    run = rundirs.make_run(tmp_path / "sweep" / "f", coef=0.1, kl=5.0, gold=1.4)
    spend(run, iterations=40, seconds=100.0)
    realign(run, {"weights": STOPS}, seconds=6.0)
    return tmp_path / "sweep"


def _lines(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_choice_in_words(places, capsys):
    assert main([str(places), "--gold-at-most-kl", "4.2"]) == 0
    assert _lines(capsys) == [
        "The most gold reward at a KL of at most 4.2 nats: kl.controller=path kl.coef=0.1",
        "policy sweep/p/points/kl0.1-path-seed0-1/policy (seed 0)",
        "KL 4.00 (3.80 to 4.20) nats per response, of one seed's evaluation alone",
        "gold reward 1.50 (1.30 to 1.70), of one seed's evaluation alone",
        "proxy reward 2.00 (1.80 to 2.20), of one seed's evaluation alone",
        "cost 6 iterations, 20 CPU seconds, 48 responses",
        "next best kl.controller=fixed kl.coef=0.1, λ 0.5 of the weights at 2.00 (1.80 to 2.20)"
        " nats, with 0.20 (-0.08 to 0.48) less gold reward, which is not clear",
        "sample rlhf sample sweep/p/points/kl0.1-path-seed0-1",
        "export rlhf export sweep/p/points/kl0.1-path-seed0-1",
    ]


def test_a_realigned_policy_in_words(places, capsys):
    assert main([str(places / "f"), "--kl", "2"]) == 0
    told = _lines(capsys)
    assert told[1] == "policy sweep/f/policy, at λ 0.5 (seed 0)"
    cost = "cost 6 CPU seconds for all λ, after f (40 iterations, 100 CPU seconds, 320 responses)"
    assert cost in told and not [line for line in told if line.startswith("sample")]
    assert "export rlhf export sweep/f --realign lambda=0.5 --by weights" in told


def test_a_realigned_policy_is_exported_at_the_lambda_that_was_measured(
    places, rundirs, tmp_path, capsys
):
    """All its digits; of two seeds its KL's interval begins at 0 at the least."""
    sweep = tmp_path / "two"
    for seed, kl in enumerate((1.0, 2.0)):
        run = rundirs.make_run(sweep / f"s{seed}", coef=0.1, seed=seed, kl=5.0, gold=1.4)
        realign(run, {"weights": {0.0: (0, 0, 1.0), 0.123456789: (kl, 0.8, 1.3)}}, seconds=6.0)
    assert main([str(sweep), "--kl", "1.5"]) == 0
    told = _lines(capsys)
    assert any("--realign lambda=0.123456789 " in line for line in told)
    assert any(line.startswith("KL 1.5 (0.0 to 7.9) nats") for line in told), told


def test_a_gap_in_a_path_has_the_command_that_refines_it(places, capsys):
    assert main([str(places / "p"), "--kl", "6"]) == 0
    told = capsys.readouterr().out
    assert "Nothing is at 6 nats" in told
    # log(6 / 4) / log(9 / 4) is 0.5: sqrt(0.1 * 0.01)
    assert "kl.coef=0.03162 'kl.controller.grid=[0.5,0.1,0.03162]'" in told
    assert "(with the settings of the path's own command)" in told


def test_what_there_is_where_no_rule_is_given(places, capsys):
    assert main([str(places)]) == 0
    told = _lines(capsys)
    assert told[0].startswith("policy kind seeds KL (nats) proxy reward gold reward iterations")
    assert [line.split(" path point ")[0] for line in told if " path point " in line] == [
        f"kl.controller=path kl.coef={coef}" for coef in (0.5, 0.1, 0.01)
    ]
    (realigned,) = (line for line in told if " realigned " in line)
    assert realigned.endswith("1.30 ± 0.20 6")  # CPU seconds of its curve; it has no iterations
    assert "--before-gold-falls" in told[-1]


def test_json(places, capsys):
    assert main([str(places), "--before-gold-falls", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    chosen = made["chosen"]
    assert (chosen["label"], chosen["kind"]) == ("kl.controller=fixed kl.coef=0.1", "run")
    assert chosen["policies"][0]["policy"] == str(places / "f" / "policy")
    assert chosen["reward/gold"]["mean"] == 1.4 and chosen["kl/sequence_nats"]["of"] == "evaluation"
    assert chosen["cost"]["cpu_seconds"] == 100.0 and chosen["cost"]["curve_cpu_seconds"] is None
    assert made["next"]["label"] == "kl.controller=path kl.coef=0.1"
    assert made["difference"]["mean"] == pytest.approx(-0.1)
    assert made["commands"] == {"sample": "rlhf sample sweep/f", "export": "rlhf export sweep/f"}
    assert main([str(places), "--knee", "--json"]) == 0
    knee = json.loads(capsys.readouterr().out)["knee"]
    assert 0 < knee["share"] <= 1 and knee["low"] <= knee["high"]
    assert main([str(places), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["candidates"]) == 5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--kl", "-1"], "--kl -1: expected a number of nats above 0"),
        (["--kl", "nan"], "--kl nan: expected a number of nats above 0"),
        (["--export", "there"], "--export takes what a rule chooses"),
        (["--knee", "--export", "sweep"], "sweep is a folder that is not empty"),
        (["--gold-at-most-kl", "0.5"], "the least is 1 (kl.controller=path kl.coef=0.5)"),
        (["--kl", "2", "--reward", "judge"], "no such reward here (gold, proxy)"),
        (["--reward", "judge"], "no such reward here (gold, proxy)"),
    ],
)
def test_refusals(places, capsys, words, reason):
    assert main([str(places), *words]) == 2
    assert reason in capsys.readouterr().err


def test_two_rules_and_a_place_that_is_not_there(places, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(places), "--knee", "--kl", "2"])
    assert main(["swep", "--knee"]) == 2
    assert "swep is no directory; did you mean sweep?" in capsys.readouterr().err


def test_nothing_has_finished(rundirs, tmp_path, capsys):
    rundirs.make_run(tmp_path / "a", state="failed")
    assert main([str(tmp_path), "--knee"]) == 1
    assert "no finished run with a KL: a is failed" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 1


def test_no_gold(rundirs, tmp_path, capsys):
    rundirs.make_run(tmp_path / "a", gold=None)
    assert main([str(tmp_path), "--before-gold-falls"]) == 2
    assert "--before-gold-falls: no gold reward was measured; --reward proxy" in (
        capsys.readouterr().err
    )
    assert main([str(tmp_path), "--before-gold-falls", "--reward", "proxy"]) == 0


def test_the_export_is_that_of_rlhf_export(places, capsys):
    """These runs have no weights: it refuses in its own words, with its own exit code."""
    assert main([str(places), "--kl", "5", "--export", "there"]) == 2
    told = capsys.readouterr()
    assert "rlhf export: sweep/f holds no policy" in told.err and "policy" in told.out


def test_the_arguments_of_the_export(places, tmp_path):
    every = candidates(study(places, gather([places])))
    trained, mixed = (next(c for c in every if c.kind == kind) for kind in ("run", "realigned"))
    assert export_words(trained, trained.policies[0], tmp_path / "to") == [
        *("sweep/f", "--to", str(tmp_path / "to")),
    ]
    assert export_words(mixed, mixed.policies[0])[1:] == [
        *("--realign", "lambda=0.5", "--by", "weights")
    ]
    assert list(commands(mixed, mixed.policies[0])) == ["export"]
