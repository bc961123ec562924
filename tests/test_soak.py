"""The soak's own eyes: what it counts as lost, doubled, different, stray, executed or refused."""

import http.server
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from benchmarks.soak import __main__ as command, damage
from benchmarks.soak.commands import Command, Ended, end_of_trace
from benchmarks.soak.damage import hurt
from benchmarks.soak.disk import can_mount, unmount_below
from benchmarks.soak.hostile import Bomb, bomb, payload
from benchmarks.soak.proxy import PAGE, Proxy
from benchmarks.soak.same import compare
from benchmarks.soak.scene import EXPERIMENT, place
from benchmarks.soak.tries import BEGIN, END, Try, markdown, put_into

ROOT = Path(__file__).resolve().parents[1]
RUN = "outputs/soak/run"
METRICS = '{"iteration": 0, "kl/coef": 0.1}\n{"iteration": 1, "kl/coef": 0.2}\n'


def folder(root):
    """A run of two rows with a policy and a summary, and what MLflow has of it."""
    run = root / RUN
    (run / "policy").mkdir(parents=True)
    (run / "metrics.jsonl").write_text(METRICS)
    (run / "timings.jsonl").write_text(
        '{"iteration": 0, "seconds": 1}\n{"iteration": 1, "seconds": 2}\n'
    )
    (run / "policy/model.safetensors").write_bytes(b"weights")
    (run / "summary.json").write_text('{"objective": 1.5, "wall_seconds": 3}')
    (run / ".lock").touch()
    with closing(sqlite3.connect(root / "outputs/mlflow.db")) as db, db:
        db.executescript(
            """
            create table experiments (experiment_id, name);
            create table runs (run_uuid, name, status, lifecycle_stage, experiment_id);
            create table metrics (run_uuid, key, step, value);
            create table latest_metrics (run_uuid, key, step, value);
            create table params (run_uuid, key, value);
            insert into experiments values (1, 'soak');
            insert into runs values ('a', 'kl.coef=0.1', 'FINISHED', 'active', 1);
            insert into metrics values ('a', 'kl/coef', 0, 0.1), ('a', 'kl/coef', 1, 0.2),
                                       ('a', 'final/wall_seconds', 1, 3);
            insert into params values ('a', 'seed', '0');
            """
        )
    return root


@pytest.fixture
def sides(tmp_path):
    return folder(tmp_path / "cut"), folder(tmp_path / "whole")


def execute(side, statement):
    with closing(sqlite3.connect(side / "outputs/mlflow.db")) as db, db:
        db.execute(statement)


class ReadOnce:
    """An ended process as multiprocessing has one: whoever reads the exit code while another
    thread does is told 255."""

    sentinel, reading = 0, False

    @property
    def exitcode(self):
        if self.reading:
            return 255
        self.reading = True
        time.sleep(0.05)
        self.reading = False
        return 130


def test_threads_that_look_at_once_are_told_the_same_exit_code(tmp_path):
    command = Command(ReadOnce(), tmp_path / "shown.txt")
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda _: command.code, range(4))) == [130] * 4


def test_the_clock_alone_makes_no_difference(sides):
    cut, whole = sides
    (cut / RUN / "timings.jsonl").write_text(
        '{"iteration": 0, "seconds": 9}\n{"iteration": 1, "seconds": 9}\n'
    )
    (cut / RUN / "summary.json").write_text('{"objective": 1.5, "wall_seconds": 9}')
    (cut / RUN / "log.txt").write_text("killed once\n")
    execute(cut, "update metrics set value = 9 where key = 'final/wall_seconds'")
    assert not compare(cut, whole)


@pytest.mark.parametrize(
    ("text", "lost", "doubled"),
    [
        (METRICS.splitlines(keepends=True)[0], 1, 0),
        (METRICS + METRICS.splitlines(keepends=True)[1], 0, 1),
        (METRICS.replace("0.2", "0.3"), 1, 1),  # the row that was is not there, another one is
        ("", 2, 0),
    ],
)
def test_rows_lost_doubled_and_changed(sides, text, lost, doubled):
    cut, whole = sides
    (cut / RUN / "metrics.jsonl").write_text(text)
    difference = compare(cut, whole)
    assert (difference.lost, difference.doubled) == (lost, doubled) and difference.divergences


def test_files_that_differ_are_missing_or_left_over(sides):
    cut, whole = sides
    (cut / RUN / "policy/model.safetensors").write_bytes(b"weighte")
    (cut / RUN / "summary.json").write_text('{"objective": 1.25}')
    (cut / RUN / ".metrics.jsonl.17.tmp").touch()
    (cut / "outputs/artifacts/sft/ab.work").mkdir(parents=True)
    (cut / "outputs/artifacts/sft/ab.work/config.yaml").touch()
    difference = compare(cut, whole)
    assert difference.divergences == [
        f"{RUN}/policy/model.safetensors has other bytes",
        f"{RUN}/summary.json differs in objective",
    ]
    assert sorted(difference.strays) == [
        "outputs/artifacts/sft/ab.work/config.yaml",
        f"{RUN}/.metrics.jsonl.17.tmp",
    ]


@pytest.mark.parametrize(
    ("statement", "lost", "doubled", "words"),
    [
        ("delete from metrics where step = 0", 1, 0, "1 rows missing"),
        ("insert into metrics values ('a', 'kl/coef', 0, 0.1)", 0, 1, "1 too many"),
        ("update runs set status = 'RUNNING'", 0, 0, "{'FINISHED': 1} became {'RUNNING': 1}"),
        ("delete from params", 0, 0, "1 params missing"),
        (
            "insert into runs values ('b', 'kl.coef=0.1', 'FINISHED', 'active', 1)",
            *(0, 0, "{'FINISHED': 1} became {'FINISHED': 2}"),
        ),
    ],
)
def test_what_mlflow_has(sides, statement, lost, doubled, words):
    cut, whole = sides
    execute(cut, statement)
    difference = compare(cut, whole)
    assert (difference.lost, difference.doubled) == (lost, doubled)
    assert any(words in sentence for sentence in difference.divergences)
    assert not compare(cut, whole, store=False)


def test_a_store_that_cannot_be_read_is_a_difference(sides):
    cut, whole = sides
    (cut / "outputs/mlflow.db").write_bytes(b"SQLite no more")
    difference = compare(cut, whole)
    assert difference.lost == 3 and "file is not a database" in " ".join(difference.divergences)


# --- commands


def test_a_signal_comes_just_before_the_operation_that_it_names(tmp_path):
    code = (
        "import sys; from pathlib import Path; from benchmarks.soak.commands import Fault,"
        " _count_operations as count\n"
        "here = Path(sys.argv[1]); counted = count(here, Fault(9, operation=int(sys.argv[2])))\n"
        "open('/dev/null', 'w').close()\n"  # elsewhere
        "(here / 'a').write_text('a'); (here / 'a').read_text(); (here / 'a').rename(here / 'b')\n"
        "(here / 'c').write_text('c'); print(counted[0])\n"
    )
    for operation, code_of_end, names in ((3, -signal.SIGKILL, ["b"]), (0, 0, ["b", "c"])):
        place = tmp_path / str(operation)
        place.mkdir()
        words = [sys.executable, "-c", code, str(place), str(operation)]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == code_of_end, ended.stderr
        assert sorted(path.name for path in place.iterdir()) == names
    assert ended.stdout.strip() == "3"


def test_how_far_a_run_is(tmp_path):
    assert place(tmp_path) == "before the first stage"
    run = tmp_path / RUN
    run.mkdir(parents=True)
    (run / "status.json").write_text('{"state": "running", "stage": "sft"}')
    assert place(tmp_path) == "sft"
    (run / "summary.json").touch()
    assert place(tmp_path) == "finishing"


def test_damage_depends_on_the_seed_alone(tmp_path):
    path, ways = tmp_path / "file", set()
    for seed in range(12):
        outcomes = []
        for _ in range(2):
            path.write_bytes(b"0123456789")
            outcomes.append((hurt(Random(seed), path), path.read_bytes()))
        assert outcomes[0] == outcomes[1] and outcomes[0][1] != b"0123456789"
        ways.add(outcomes[0][0].split()[1])
    assert len(ways) > 1


# --- what the tables say


def test_a_refusal_names_what_is_wrong_and_shows_no_traceback():
    good, silent, long = Try("damage", 0), Try("damage", 1), Try("damage", 2)
    good.refused(Ended(2, "manifest.json is no JSON", 0.3), "manifest.json")
    silent.refused(Ended(2, "it failed", 0.3), "manifest.json")
    long.saw(Ended(1, "Traceback (most recent call last):\n  File ...\nValueError: no", 0.3))
    assert good.broken == [] and good.refusals == [0.3]
    assert "without naming manifest.json" in silent.broken[0]
    assert long.tracebacks == 1 and "ValueError" in long.broken[0]


def test_the_table_goes_between_the_marks_of_its_page(tmp_path):
    one, two = Try("kill", 0, faults=["SIGKILL at 1 s"], places=["sft"]), Try("kill", 1)
    two.differs(compare(folder(tmp_path / "a"), folder(tmp_path / "b")))
    two.breaks("exit code 1")
    text = markdown([one, two], {}, "python -m benchmarks.soak kill=2", 90)
    assert "| kill | 2 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |  | 1 |" in text
    assert "- `kill:1` (): exit code 1" in text and "sft 1" in text
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into(page, text)
    put_into(page, text)
    shown = page.read_text()
    assert shown.startswith("# Before\n") and shown.endswith("\nafter\n") and "old" not in shown
    assert shown.count("| kill |") == 1


# --- servers and payloads


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello, " * 10
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_a_proxy_misbehaves_as_its_mode_says():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = Proxy(server.server_port)

    def ask():
        return urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}/", timeout=5).read()

    assert ask() == b"hello, " * 10
    proxy.become("html")
    assert ask() == PAGE
    for mode in ("error", "refuse", "reset", "cut", "dead"):
        proxy.become(mode)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask()
    proxy.become("good")
    assert ask() == b"hello, " * 10
    proxy.close()
    server.shutdown()
    server.server_close()


def test_the_payloads_would_do_harm(tmp_path):
    """A bomb that is a dud would prove nothing."""
    import logging
    import pickle

    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists()
    bomb(Random(0), tmp_path / "x.ckpt", canary)
    assert b"touch" in (tmp_path / "x.ckpt").read_bytes()
    canary.unlink()
    targets = {payload(Random(seed), canary, "plain", logging=False)[0] for seed in range(30)}
    assert {"logging.FileHandler", "os.system"} <= targets
    logging.FileHandler(filename=str(canary)).close()
    assert canary.exists()
    _, spelled = payload(Random(0), canary, "interpolated", logging=False)
    assert str(spelled).startswith("${oc.create:{_target_:'")


def test_the_experiment_goes_through_all_stages():
    from rlhf.config.compose import compose, validate
    from rlhf.config.properties import needed_stages

    stages = [stage.name for stage in needed_stages(validate(compose(EXPERIMENT)))]
    assert stages == ["sft", "reward_model", "ppo"]


def test_the_end_of_the_first_traceback_is_told():
    text = """ppo iteration 0/16
Exception ignored in: <bound method X._remove_item>
Traceback (most recent call last):
  File "clsregistry.py", line 234, in _remove_item
    self.contents.discard(ref)
  File "stopping.py", line 30, in leave
    raise Stopped(number)
rlhf.rundir.errors.Stopped: stopped
ppo iteration 16/16
Traceback (most recent call last):
KeyError: 1
"""
    assert end_of_trace(text) == (
        'File "clsregistry.py", line 234, in _remove_item | self.contents.discard(ref)'
        ' | File "stopping.py", line 30, in leave | raise Stopped(number)'
        " | rlhf.rundir.errors.Stopped: stopped"
    )
    this = Try("stop", 0)
    this.saw(Ended(0, text, 1.0))
    assert this.tracebacks == 2 and "clsregistry" in this.broken[0]


def test_a_name_counts_where_it_is_said_and_not_in_the_list_of_all():
    listing = "run: data_report.json, legs.json, manifest.json, status.json, summary.json, x.json"
    assert not damage.names(listing, "summary.json")
    assert damage.names(f"{listing}\nrun: summary.json is not what was written", "summary.json")


def test_threads_that_try_to_mount_at_once_leave_nothing_mounted(tmp_path):
    """Each mounted it for itself, one above the other, and the folder could not be removed."""
    with ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(lambda _: can_mount(tmp_path), range(8))}) == 1
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_whatever_is_left_mounted_goes_at_the_end(tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("mount is not allowed here")
    folder = tmp_path / "a disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "soak", str(folder)], check=True)
    with (folder / "held").open("w"):
        unmount_below(tmp_path)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def begun(wanted, tries, running, jobs=2):
    one = command._next_try(wanted, tries, running, jobs)
    return one and (one.kind, one.index)


def test_the_next_kind_begins_where_the_one_before_leaves_room():
    """Of two at a time: one fault is missing and sought, so the other try is of the next kind. The
    server's take half a place each, a sweep takes both."""
    came, sought = Try("kill", 0, faults=["SIGKILL"]), Try("kill", 1)
    tries = {"kill": [came, sought], "server": [], "sweep": []}
    wanted = {"kill": 2, "server": 3, "sweep": 1}
    assert begun(wanted, {**tries, "kill": []}, []) == ("kill", 0)
    assert begun(wanted, tries, [sought]) == ("server", 0)
    tries["server"] = [Try("server", 0), Try("server", 1)]
    assert begun(wanted, tries, [sought, *tries["server"]]) is None
    assert begun(wanted, tries, tries["server"]) == ("kill", 2)  # no fault came of the second
    sought.faults.append("SIGKILL")
    assert begun({**wanted, "server": 0}, tries, tries["server"]) is None
    assert begun({**wanted, "server": 0}, tries, []) == ("sweep", 0)
    assert begun({**wanted, "server": 0}, tries, [], jobs=1) == ("sweep", 0)


def test_a_fault_that_cannot_come_is_not_sought_for_ever():
    tries = {"kill": [Try("kill", index) for index in range(command.MOST)]}
    assert begun({"kill": 1}, tries, []) is None


def test_a_soak_has_all_its_faults(monkeypatch):
    """Every second try brings one."""

    def attempt(scene, one):
        time.sleep(0.005)
        one.faults += ["a fault"] * (one.index % 2)

    monkeypatch.setattr(command, "attempt", attempt)
    tries = command.soak(None, {"disk": 3, "hostile": 2}, jobs=2)
    faults = {kind: sum(len(t.faults) for t in tries if t.kind == kind) for kind in command.KINDS}
    assert (faults["disk"], faults["hostile"], faults["kill"]) == (3, 2, 0)
    assert [t.kind for t in tries] == sorted(t.kind for t in tries)
