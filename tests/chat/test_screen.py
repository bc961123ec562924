import pytest
from rich.console import Console

from rlhf.chat.screen import beside, colour, coloured, numbers

REPLY = {
    "response": " a b",
    "reward/proxy": 0.25,
    "kl/sequence_nats": 1.5,
    "ended": False,
    "tokens": [" a", " b"],
    "token_kl": [3.0, -1.5],
    "ppo/score": 0.5,
}


@pytest.mark.parametrize(
    "nats, background",
    [(0.1, None), (3.0, "#d64541"), (9.0, "#d64541"), (-3.0, "#3478c6"), (-1.5, "#1a3c63")],
)
def test_a_colour_is_as_strong_as_the_nats_up_to_three(nats, background):
    assert colour(nats) == background


def test_each_token_has_its_colour():
    text = coloured(REPLY["tokens"], REPLY["token_kl"])
    assert text.plain == " a b"
    assert [(s.start, s.end, str(s.style)) for s in text.spans] == [
        (0, 2, "white on #d64541"),
        (2, 4, "white on #1a3c63"),
    ]


def test_the_numbers_of_an_answer():
    line = "score +0.5  proxy +0.25  KL 1.5 nats  2 tokens, not ended"
    assert numbers(REPLY) == line
    assert numbers({**REPLY, "ended": True}).endswith("2 tokens")


def test_both_sides_stand_beside_each_other():
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(beside({"policy": REPLY, "reference": {**REPLY, "tokens": [" c", " d"]}}))
    lines = console.export_text().splitlines()
    assert "policy" in lines[1] and "reference" in lines[1]
    assert " a b" in lines[3] and " c d" in lines[3]
