from rlhf.compare.terminal import fitting

HEAD = ["setting", "runs", "KL", "length", "with EOS"]
LINES = [["kl.coef=0.1 (best)", "1", "5.68 ± 0.17", "10.6", "100 %"]]


def test_a_wide_terminal_sees_all_and_a_narrow_one_what_matters():
    assert fitting(HEAD, LINES, 80) == (HEAD, LINES)
    assert fitting(HEAD, LINES, 46)[0] == ["setting", "runs", "KL", "length"]
    assert fitting(HEAD, LINES, 32) == (["setting", "KL"], [["kl.coef=0.1 (best)", "5.68 ± 0.17"]])


def test_a_name_that_is_too_long_keeps_its_end():
    head = ["setting", "KL (nats)", "gold"]
    lines = [
        [f"kl.controller=adaptive ppo.iterations=1000 kl.coef=0.{i}", "12.34 ± 0.12", "1.0"]
        for i in (1, 2)
    ]
    shown, rows = fitting(head, lines, 40)
    assert shown == head
    assert [row[0][-11:] for row in rows] == ["kl.coef=0.1", "kl.coef=0.2"]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    assert sum(widths) + 2 * 2 <= 40
