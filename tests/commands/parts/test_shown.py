from rlhf.commands.parts.shown import refuse


def test_faults_that_are_left_out_are_counted(capsys):
    assert refuse(["rows.jsonl:1: no", "rows.jsonl:2: no", "and 5 more"]) == 2
    assert capsys.readouterr().err.startswith("7 things are wrong with this command:\n")
    assert refuse(["rows.jsonl:1: no"]) == 2
    assert capsys.readouterr().err.startswith("One thing is wrong")
