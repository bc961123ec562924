"""Who is noted beside a folder that several share."""

import socket

from rlhf.rundir.disk.uses import User, hold, users, users_file


def test_a_line_that_was_cut_takes_no_later_user_with_it(tmp_path):
    folder, host = tmp_path / "abc", socket.gethostname()
    users_file(folder).write_text('{"host": "node7", "direc')
    for name in ("a", "b", "a"):
        hold(folder, tmp_path / name).close()
    assert users(folder) == [User(host, str(tmp_path / name)) for name in ("a", "b")]
