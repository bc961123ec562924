"""The commands that README.md and docs/ show: lines of their code blocks that begin with `rlhf`,
or with what starts it."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"\s*(```|~~~)")
# variables of the environment, and what starts processes
BEFORE = r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:exec |srun |torchrun .* -m )?"
COMMAND = re.compile(BEFORE + r"rlhf(?=\s|$)(?P<rest>.*)")


def code_lines(text):
    """(number, line) of fenced and indented code blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield number, line.strip()


def commands(page):
    """(line number, words after `rlhf`, what the block shows below it) of a page."""
    lines = [*code_lines(page.read_text())]
    for index, (number, line) in enumerate(lines):
        match = COMMAND.match(line)
        while match and line.endswith("\\") and index + 1 < len(lines):  # it goes on below
            index += 1
            line = lines[index][1]
            match = COMMAND.match(f"{match[0][:-1]} {line}")
        if match:
            below = "\n".join(each for _, each in lines[index + 1 : index + 8])
            yield number, shlex.split(match["rest"], comments=True), below


NAMED = re.compile(r"`([\w/.-]+\.(?:py|yaml|jsonl))`:$")


def files(page):
    """{path: text} of the files that a page has its reader write: a code block below a line that
    ends with the file's name."""
    lines, written = page.read_text().splitlines(), {}
    for index, line in enumerate(lines):
        name = NAMED.search(line.strip())
        if name and index + 2 < len(lines) and FENCE.match(lines[index + 2]):
            block = lines[index + 3 :]
            end = next(i for i, each in enumerate(block) if FENCE.match(each))
            written[name[1]] = "\n".join(block[:end]) + "\n"
    return written


def every():
    """(`docs/how-to/data.md:12`, words, what is shown below)"""
    return [
        (f"{page.relative_to(ROOT)}:{number}", words, below)
        for page in PAGES
        for number, words, below in commands(page)
    ]


# a page of what is refused, command by command, each with its own test
REFUSED = ROOT / "docs" / "records" / "reliability.md"
PLACEHOLDER = re.compile(r"<[^>]*>|[…|]|\.\.\.|\bURI\b|\bEXPERIMENT\b|\bNAME\b")


def inline():
    """The same of commands within a sentence that leave nothing to be filled in."""
    for page in PAGES:
        prose = (line for line in page.read_text().splitlines() if not line.startswith("    "))
        for number, line in enumerate(prose, start=1):
            for command in re.findall(r"`rlhf ([^`]+)`", line):
                if page != REFUSED and not PLACEHOLDER.search(command):
                    yield f"{page.relative_to(ROOT)}, line {number} or so", shlex.split(command), ""
