from random import Random

import pytest

from rlhf.rundir import noted
from rlhf.rundir.disk.sealed import write_sealed
from rlhf.rundir.files import append_jsonl, write_json, write_text
from rlhf.rundir.read import read_json
from rlhf.rundir.status import read_status, write_status

SUMMARY = {"status": "finished", "kl.controller": "pid", "kl.coef": 0.1, "reward/gold": "nan"}


@pytest.fixture
def ended(run):
    """The same, ended, with all that says how it was made."""
    write_text(run / "config.yaml", "kl:\n  coef: 0.1\n")
    write_sealed(run / "legs.json", {"legs": [{"from_iteration": 0}]})
    write_json(run / "data_report.json", {"prompts": 3})
    (run / "policy").mkdir()
    write_json(run / "policy" / "config.json", {"hidden_size": 16})
    (run / "policy" / "model.safetensors").write_bytes(b"x" * 100)
    noted.write_manifest(run / "manifest.json", {"kind": "run", "hash": "05e84ee0"})
    noted.conclude(run, SUMMARY)
    write_status(run, state="finished", exit_code=0)
    return run


def test_a_finished_run_is_complete_while_its_records_are_what_was_written(run):
    write_json(run / "oracle.json", {"beta": 1})
    write_json(run / "manifest.json", {"records": noted.digests(run)})
    assert not noted.is_complete(run)
    write_json(run / "summary.json", {"status": "finished"})
    assert not noted.losses(run) and noted.is_complete(run)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:2]))
    (run / "samples.jsonl").unlink()
    write_json(run / "oracle.json", {"beta": 2})
    assert [*noted.losses(run).values()] == [
        "metrics.jsonl has 2 of 5 lines",
        "samples.jsonl is gone",
        "oracle.json is not what was written",
    ]
    assert not noted.is_complete(run)


@pytest.mark.parametrize("manifest", [{}, {"records": None}, {"records": []}])
def test_a_run_of_an_older_version_noted_no_digests(run, manifest):
    write_json(run / "manifest.json", manifest)
    assert noted.losses(run) == {}


def test_an_odd_manifest_is_no_traceback(run):
    write_json(run / "manifest.json", {"records": {"metrics.jsonl": 5, "none.jsonl": "x"}})
    assert [*noted.losses(run).values()] == [
        "metrics.jsonl is not what was written",
        "none.jsonl is gone",
    ]


def test_what_a_kill_left_to_do_at_the_end_makes_a_run_incomplete(run):
    """The checkpoints that it did not wish to keep: none at all, or all but the last."""
    write_json(run / "summary.json", {"status": "finished"})
    folder = run / "checkpoints"
    folder.mkdir()
    for wish, complete in (("none", False), ("last", True), (None, True)):
        config = {"checkpoints": {"after_finish": wish}} if wish else {}
        write_json(run / "manifest.json", {"config": config})
        assert noted.is_complete(run) == complete
    write_json(run / "manifest.json", {"config": {"checkpoints": {"after_finish": "last"}}})
    (folder / "iteration-000004.sha256").touch()
    assert noted.is_complete(run)
    (folder / "iteration-000003.sha256").touch()
    assert not noted.is_complete(run)
    (folder / "iteration-000003.sha256").unlink()
    assert noted.is_complete(run)
    (run / ".status.json.4194305.tmp").touch()  # no process has this number
    assert not noted.is_complete(run)


def test_a_run_that_ended_is_what_it_noted(ended):
    assert noted.losses(ended) == {} and noted.is_complete(ended)
    assert read_json(ended / "summary.json") == SUMMARY
    assert set(noted.noted(ended)) == {
        *("metrics.jsonl", "timings.jsonl", "samples.jsonl", "by_prompt.jsonl", "summary.json"),
        *("config.yaml", "legs.json", "data_report.json"),
        *("policy/config.json", "policy/model.safetensors"),
    }


def files(directory):
    return [path for path in sorted(directory.rglob("*")) if path.is_file()]


def test_each_bit_of_each_file_counts(ended):
    """Any bit, in whole JSON, too: a key, a digit, the name of the digest itself. Only what reads
    as the same (1e-5 and 1E-5) is none."""
    rng = Random(0)
    for path in files(ended):
        before, name = path.read_bytes(), str(path.relative_to(ended))
        for at in rng.sample(range(len(before) * 8), min(60, len(before) * 8)):
            data = bytearray(before)
            data[at // 8] ^= 1 << at % 8
            path.write_bytes(data)
            assert not noted.is_complete(ended), (name, at)
            assert name in noted.losses(ended) or name == "summary.json", (name, at)
        path.write_bytes(before)
        assert noted.is_complete(ended)


@pytest.mark.parametrize("key", ["records", "manifest_sha256", "hash"])
def test_a_manifest_with_another_key_is_not_believed(ended, key):
    path = ended / "manifest.json"
    path.write_text(path.read_text().replace(f'"{key}"', f'"{key[:-1]}~"', 1))
    assert noted.losses(ended) == {"manifest.json": "manifest.json is not what was written"}


def test_a_manifest_that_is_cut_is_not_believed(ended):
    (ended / "manifest.json").write_bytes((ended / "manifest.json").read_bytes()[:40])
    assert noted.losses(ended) == {"manifest.json": "manifest.json cannot be read"}


def test_a_summary_with_another_key_is_named_to_readers_once(ended, caplog):
    text = (ended / "summary.json").read_text()
    (ended / "summary.json").write_text(text.replace("kl.controller", "kl.controllev"))
    noted.name_losses(ended)
    noted.name_losses(ended)
    assert [m for m in caplog.messages if "summary.json" in m] == [
        f"{ended}: summary.json is not what was written when it ended"
    ]


def test_what_changes_after_the_end_is_no_loss(ended):
    write_status(ended, state="finished", exit_code=0, stage="ppo")
    write_sealed(ended / "tracking.json", {"delivered": 4})
    (ended / "log.txt").write_text("more")
    assert noted.is_complete(ended)


def test_of_a_run_that_is_made_again_nothing_is_noted(ended):
    (ended / "summary.json").unlink()
    noted.forget(ended)
    append_jsonl(ended / "metrics.jsonl", [{"iteration": 5}])
    assert noted.losses(ended) == {} and read_json(ended / "manifest.json")["hash"] == "05e84ee0"


def test_a_damaged_status_counts_as_missing(ended):
    path = ended / "status.json"
    path.write_text(path.read_text().replace('"finished"', '"finishee"'))
    assert read_status(ended) == {}
    assert noted.losses(ended) == {"status.json": "status.json is not what was written"}


def test_a_file_that_comes_later_is_noted_and_another_takes_its_place(ended):
    """Every step leaves a whole run; what was noted of others stays."""
    before = noted.noted(ended)
    noted.add(ended, noted.REALIGN, {"curves": []})
    assert noted.is_complete(ended)
    assert noted.noted(ended).keys() == {*before, "realign.json"}
    noted.add(ended, noted.REALIGN, {"curves": [{"by": "weights"}]})
    assert noted.is_complete(ended)
    assert read_json(ended / "realign.json") == {"curves": []}  # without points it is no curve
    write_json(ended / "realign.json", {"curves": 1})
    assert noted.losses(ended) == {"realign.json": "realign.json is not what was written"}
    noted.drop(ended, noted.REALIGN)
    assert noted.is_complete(ended) and noted.noted(ended) == before


def test_of_an_older_run_that_noted_nothing_nothing_is_noted(run):
    noted.write_manifest(run / "manifest.json", {"kind": "run"})
    noted.add(run, noted.REALIGN, {"curves": []})
    assert (run / "realign.json").exists() and not noted.noted(run)


def test_killed_before_a_later_file_is_noted_the_run_is_whole(ended, monkeypatch):
    """Between any two of its steps: the file may be there and not noted, never the other way."""
    noted.add(ended, noted.REALIGN, {"curves": []})
    write_manifest, written = noted.write_manifest, []

    def killed(*arguments):
        raise KeyboardInterrupt

    def killed_at_the_second(*arguments):
        written.append(1)
        write_manifest(*arguments) if len(written) == 1 else killed()

    for step, dies in (("write_text", killed), ("write_manifest", killed_at_the_second)):
        with monkeypatch.context() as patch:
            patch.setattr(noted, step, dies)
            with pytest.raises(KeyboardInterrupt):
                noted.add(ended, noted.REALIGN, {"curves": [], "seed": 1})
        assert noted.is_complete(ended)
        noted.add(ended, noted.REALIGN, {"curves": []})
        assert noted.is_complete(ended)
