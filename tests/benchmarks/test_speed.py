"""What the benchmarks of speed compute, and each at toy size. No time is asserted."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import generation, vocabulary, vs_trl
from benchmarks.speed import cases, report
from benchmarks.speed.clock import Peer
from benchmarks.speed.sides import update_flops

ROOT = Path(__file__).resolve().parents[2]
TOY = cases.CASES["toy"]
TRL = Path(os.environ.get("RLHF_TRL", ROOT / "outputs" / "trl"))
without_trl = pytest.mark.skipif(
    not all((TRL / release / "trl").is_dir() for release in (vs_trl.PPO_RELEASE, vs_trl.RELEASE)),
    reason=f"needs TRL in {TRL}: python -m benchmarks.vs_trl --install",
)


def test_a_ratio_is_of_neighbours():
    """1/2, 4/2 and 9/3: the median is 2, whatever the medians of the sides are (4 and 2)."""
    assert report.ratios([1.0, 4.0, 9.0], [2.0, 2.0, 3.0]) == [0.5, 2.0, 3.0]
    assert report.middle([0.5, 3.0, 2.0]) == "2.00 (0.50 to 3.00)"
    assert report.middle([2.0], 1) == "2.0" and report.middle([]) == "-"


def test_a_table_is_markdown():
    assert report.table(("a", "b"), [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_a_peer_works_only_in_its_turns():
    done = []

    def work(boundary):
        for i in range(3):
            done.append(i)
            boundary({"total": float(i)})

    peer = Peer(work)
    assert done == [] and peer.turn() == {"total": 0.0} and done == [0]
    assert peer.turn() == {"total": 1.0}
    peer.end()
    assert done == [0, 1] and not peer._thread.is_alive()
    never = Peer(work)
    never.end()
    assert done == [0, 1] and not never._thread.is_alive()


def test_what_a_peer_raises_is_raised_here():
    def work(boundary):
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        Peer(work).turn()


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    cases.prepare("toy", folder, 24)
    return folder


def test_both_sides_train_on_the_same_rows(toy):
    """The product's own split holds two out of 26, and trains on those that the peer gets."""
    from rlhf.data.splits import divide, hold_out

    for kind in ("prompts", "demonstrations", "preferences"):
        rows = [json.loads(line) for line in (toy / f"{kind}.jsonl").read_text().splitlines()]
        held = hold_out([{row["prompt"] for row in rows}], 0, cases.HELDOUT)
        split = divide(rows, held, by=lambda row: row["prompt"])
        assert len(split.heldout) == 2 and len(split.train) == 24
        assert [*split.train] == cases.training_rows(toy, kind)


def test_responses_end_with_the_hazard(toy):
    """A mean probability of 1/4, of pad and unknown none; without a hazard EOS has none either."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(toy / "policy")
    text = torch.randint(3, TOY.vocabulary, (64, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        probability = model(text).logits.softmax(-1)[:, 2:]
        assert float(probability[..., cases.EOS].mean()) == pytest.approx(1 / 4, abs=0.05)
        assert float(probability[..., [cases.PAD, cases.UNKNOWN]].max()) < 1e-6
        cases.set_hazard(model, replace(TOY, hazard=0.0))
        assert float(model(text).logits.softmax(-1)[:, 2:, cases.EOS].max()) < 1e-6


def test_operations_of_an_update(tmp_path):
    """One layer, 16 wide, inner 43: a block has 4 * 256 + 3 * 16 * 43 = 3,088 weights. 8 rows with
    prompts of 3 tokens and 16 tokens of responses: 40 tokens through two networks, and 16 through
    the head of 32 x 16; 6 operations each, in each of 2 epochs."""
    rows = [{"prompt": "w5 w6"}, {"prompt": "w7 w8 w9 w4"}]
    rows = [row for row in rows if not cases.is_heldout(row)]
    assert len(rows) == 2
    (tmp_path / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert update_flops(TOY, tmp_path, 16.0) == 6 * 2 * (2 * 3088 * 40 + 512 * 16)


def unit(total, generation=1.0, update=2.0, **more):
    return {"total": total, "generation": generation, "update": update, "tokens": 9.0, **more}


def test_a_ratio_with_the_peers_collections_says_so(capsys):
    """4 s against 2 s is 2; with 1 s of collections it is 2.5. Each stands under its name."""
    result = {
        "case": "toy",
        "rows": 8,
        "steps": 4,
        "ours": [unit(2.0, 0.5, 1.0)],
        "trl": [unit(4.0, 1.0, 2.0, collect=1.0)],
        "gflops": [50.0, 100.0],
        "update_flops": [5e10],
    }
    vs_trl.show_ppo({"toy": result})
    printed = capsys.readouterr().out
    assert "| TRL / ours without gc | with gc |" in printed
    assert "| toy | 1 | 4.00 | 1.00 | 2.00 | 2.00 | 2.50 | 9 / 9 |" in printed
    assert "| toy | all else | 1.00 | 0.50 | 2.00 |" in printed
    assert "| toy | 100 | 0.50 | 1.00 | 0.50 |" in printed


def test_the_best_mode_of_the_peer_counts(capsys):
    result = {
        "ours": [{"training": 2.0}],
        "trl": {"padded": [{"training": 4.0}], "by length": [{"training": 3.0}]},
    }
    vs_trl.show_supervised("SFT", {"ragged": result})
    row = "| ragged | 1 | padded 4.00; by length 3.00 | 2.00 | by length | 1.50 |"
    assert row in capsys.readouterr().out


def test_copies_of_the_logits(capsys):
    """Scoring rises by 3 copies of 100 bytes; a minibatch by 2, and by 50 of gradients."""
    each = {
        "scoring": {"bytes": 300, "seconds": 1.0},
        "updates": [{"bytes": 250, "seconds": 2.0}],
        "gradients": 50,
    }
    vocabulary.show_copies({"logits": 100, "iterations": [each]})
    printed = capsys.readouterr().out
    assert "| scoring a rollout | 1 | 1.00 | 0 | 0 | 3.00 |" in printed
    assert "| a minibatch | 1 | 2.00 | 0 | 0 | 2.00 |" in printed


def test_growth_with_length(capsys):
    """32 steps of 1 ms, 256 of 1.5 ms: 384 - 32 = 352 ms for 224 more, 1.6 ms each."""
    results = [
        {"kind": "full", "length": n, "sides": {"generate": [2.0 * ms], "ours": [ms]}}
        for n, ms in ((32, 1.0), (256, 1.5))
    ]
    generation.show_results(results)
    printed = capsys.readouterr().out
    assert "| full | 256 | 1 | 3.0 | 1.5 | 2.00 |" in printed
    assert "- full: a step at 256 over one at 32: 1.50 (generate), 1.50 (ours)" in printed
    assert "- full: a step from 32 to 256: 3.1 ms (generate), 1.6 ms (ours)" in printed


# --- at toy size


def written(file, text):
    """The results of the JSON, which is of the machine that the table begins with."""
    numbers = json.loads(file.read_text())
    assert text.startswith(numbers["machine"]) and "torch" in numbers["machine"]
    return numbers["results"]


def run(module, *words, tmp_path):
    """The table that it prints and the results that it writes, in a process of its own."""
    file = tmp_path / "numbers.json"
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *words, "--json", str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, written(file, ended.stdout)


@pytest.mark.slow
def test_generation_goes_through_at_toy_size(tmp_path, monkeypatch, capsys):
    file = tmp_path / "numbers.json"
    words = ["--size", "toy", "--lengths", "4", "8", "--turns", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["generation", *words])
    generation.main()
    text = capsys.readouterr().out
    assert [(r["kind"], r["length"]) for r in written(file, text)] == [
        *(("full", 4), ("full", 8), ("ragged", 4), ("ragged", 8))
    ]
    assert "| full | 8 | 1 |" in text


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's VmHWM")
def test_vocabulary_goes_through_at_toy_size(tmp_path):
    words = ["--vocabulary", "500", "--rows", "4", "--tokens", "6", "--turns", "1"]
    small = ("ppo.rollout_size=4", "ppo.minibatch_size=4", "generation.max_new_tokens=6")
    text, results = run("vocabulary", *words, *small, tmp_path=tmp_path)
    assert results["copies"]["logits"] == 4 * 4 * 6 * 500
    assert results["doctor"]["estimated"] > 0 and "| PPO, one iteration |" in text


def test_without_trl_the_parts_say_so(tmp_path, monkeypatch, capsys):
    words = ["--trl-ppo", str(tmp_path / "none"), "--trl", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", ["vs_trl", *words])
    vs_trl.main()
    printed = capsys.readouterr().out
    for part in vs_trl.PARTS:
        assert f"{part}: not measured, there is no TRL in" in printed


@pytest.mark.slow
@without_trl
def test_beside_trl_at_toy_size(tmp_path):
    folders = ["--trl-ppo", str(TRL / vs_trl.PPO_RELEASE), "--trl", str(TRL / vs_trl.RELEASE)]
    words = ["--cases", "toy", "--turns", "1", *folders]
    text, results = run("vs_trl", *words, tmp_path=tmp_path)
    assert set(results) == set(vs_trl.PARTS)
    ppo = results["ppo"]["toy"]
    assert len(ppo["ours"]) == len(ppo["trl"]) == 1 and ppo["steps"] == 4
    assert set(results["sft"]["toy"]["trl"]) == {"padded", "by length", "padding-free"}
    assert set(results["reward_model"]["toy"]["trl"]) == {"padded"}
    assert all(side["peak"] > 1e8 for side in results["memory"]["toy"].values())
    assert "| TRL / ours without gc | with gc |" in text
