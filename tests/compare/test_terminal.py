from rlhf.compare.terminal import fitting

HEAD = ["setting", "runs", "KL", "length", "ended"]
LINES = [["kl.coef=0.1 (best)", "1", "5.68 ± 0.17", "10.6", "100 %"]]


def test_a_wide_terminal_sees_all_and_a_narrow_one_what_matters():
    assert fitting(HEAD, LINES, 80) == (HEAD, LINES)
    assert fitting(HEAD, LINES, 46)[0] == ["setting", "runs", "KL", "length"]
    assert fitting(HEAD, LINES, 20) == (["setting", "KL"], [["kl.coef=0.1 (best)", "5.68 ± 0.17"]])
