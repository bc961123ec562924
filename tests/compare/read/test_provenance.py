from rlhf.compare.read.provenance import fingerprints, manifests, revisions, shared, versions
from rlhf.compare.read.runs import load


def test_what_made_the_runs(rundirs, tmp_path):
    for seed, torch in enumerate(("2.12", "2.13")):
        run = rundirs.make_run(tmp_path / f"s{seed}", seed=seed)
        git = {"revision": "a" * 40, "dirty": bool(seed)}
        rundirs.write(
            run / "manifest.json", {"git": git, "versions": {"torch": torch, "python": "3.11"}}
        )
    rundirs.make_run(tmp_path / "lost", state="failed")
    runs = load(tmp_path)
    assert fingerprints(runs)["sft"] == ["s" * 8]
    assert revisions(manifests(runs)) == ["a" * 12, "a" * 12 + " with changes"]
    assert versions(manifests(runs)) == {"torch": ["2.12", "2.13"], "python": ["3.11"]}
    assert (shared(["x"]), shared(["x", "y"])) == ("one for all runs", "2 different")
