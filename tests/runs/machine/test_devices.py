import os
import stat

from rlhf.runs.machine import devices


def test_the_limit_of_a_control_group_is_that_of_all_above_it(tmp_path):
    """Version 2: the process is in /a/b; b has no limit, a has 3000 bytes, the root 5000."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "a" / "memory.max").write_text("3000\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    process = tmp_path / "cgroup"
    process.write_text("0::/a/b\n")
    assert sorted(devices.control_groups(tmp_path, process)) == [3000, 5000]


def test_version_1(tmp_path):
    """Without a limit it writes a number near 2^63."""
    home = tmp_path / "memory" / "job"
    home.mkdir(parents=True)
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712")
    (home / "memory.limit_in_bytes").write_text("4096")
    process = tmp_path / "cgroup"
    process.write_text("3:cpu:/job\n2:memory:/job\n")
    assert devices.control_groups(tmp_path, process) == [4096]
    assert devices.control_groups(tmp_path / "nowhere", tmp_path / "none") == []


def test_this_machine():
    memory, available = devices.memory(), devices.available()
    assert memory is None or memory > 10**8
    assert available is None or available > 0


def test_gpus_are_those_that_the_drivers_program_names(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB, 81559'\necho 'Tesla T4, 15360'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    devices.gpus.cache_clear()
    try:
        first, second = devices.gpus()
        assert (first.name, first.memory) == ("NVIDIA H100 80GB", 81559 * 2**20)
        assert second.name == "Tesla T4"
        program.write_text("#!/bin/sh\nexit 9\n")  # a driver that does not answer
        devices.gpus.cache_clear()
        assert devices.gpus() == ()
    finally:
        devices.gpus.cache_clear()


def test_a_rate_is_measured():
    assert devices.rate(1) > 1e6
