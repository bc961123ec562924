"""Small charts of Braille dots."""

import math

from rlhf.commands.parts.story.chart import chart


def test_a_line_that_rises():
    """A character has 2 x 4 dots. In one row of 4 characters dots go from x 0 to 7 and from y 0
    (top) to 3: the line from the lowest at the left (bit 0x40) to the highest at the right (0x08)
    has a dot in each character."""
    top, _ = chart([(0, 0.0), (10, 3.0)], width=6, height=1)
    label, line = top.split()
    dots = [ord(character) - 0x2800 for character in line]
    assert label == "3" and len(dots) == 4 and all(dots)
    assert dots[0] & 0x40 and not dots[0] & 0x01
    assert dots[-1] & 0x08 and not dots[-1] & 0x80


def test_the_ends_are_named():
    lines = chart([(0, -1.5), (40, 2.25)], width=30, height=3)
    assert len(lines) == 4 and all(len(line) <= 30 for line in lines)
    assert lines[0].startswith("2.25 ") and lines[2].startswith("-1.5 ")
    assert lines[3].split() == ["0", "40"]


def test_one_point_a_flat_line_and_none():
    (row, _) = chart([(3, 1.0)], width=12, height=1)
    assert sum(ord(c) > 0x2800 for c in row) == 1
    (row, _) = chart([(0, 1.0), (9, 1.0)], width=12, height=1)
    assert all(ord(c) > 0x2800 for c in row.split()[1])
    assert chart([(0, math.nan)], width=12, height=2) == []


def test_a_terminal_of_ascii():
    lines = chart([(0, 0.0), (1, 1.0)], width=20, height=2, plain=True)
    assert "".join(lines).isascii() and "*" in lines[0]
