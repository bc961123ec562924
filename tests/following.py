"""Pages of docs/ as a reader follows them: their steps from top to bottom."""

import re
import shlex
from dataclasses import dataclass

from tests import documented

NAMES = "rlhf|make|python|pip|source|vllm|curl|llama-cli"
BEGINNING = re.compile(rf"{documented.BEFORE}(?:{NAMES})(?=\s)")
VARIABLE = re.compile(r"[A-Z_]+=")
FENCE = re.compile(r"(?:```|~~~)(\w*)$")


@dataclass(frozen=True)
class Step:
    place: str
    kind: str  # command, python or file
    text: str  # a command's without what stands behind it
    name: str = ""  # of a file

    def __post_init__(self):
        if self.kind == "command":
            text = re.sub(r"\s+#.*", "", self.text.removeprefix("$ ")).strip()
            object.__setattr__(self, "text", text)

    @property
    def words(self):
        """Those of the command, without the variables before it."""
        words = shlex.split(self.text.removeprefix("exec "))
        return words[len(self.variables) :]

    @property
    def variables(self):
        words = shlex.split(self.text)
        count = next(i for i, word in enumerate(words) if not VARIABLE.match(word))
        return dict(word.split("=", 1) for word in words[:count])


def path_of(page):
    docs = documented.ROOT / "docs" / page
    return docs if docs.exists() else documented.ROOT / page


def steps(page):
    """The steps of docs/<page>, or of a page at the root, from top to bottom."""
    path = path_of(page)
    lines, written = path.read_text().splitlines(), documented.files(path)
    found, index, named = [], 0, ""
    while index < len(lines):
        line, number = lines[index], index + 1
        if fence := FENCE.match(line):
            end = next(i for i in range(index + 1, len(lines)) if FENCE.match(lines[i]))
            block = "\n".join(lines[index + 1 : end])
            if named:
                found.append(Step(f"{page}:{number}", "file", written[named], named))
            elif fence[1] == "python":
                found.append(Step(f"{page}:{number}", "python", block))
            elif fence[1] in ("", "sh", "bash"):
                found += _commands(page, number + 1, block.splitlines())
            index, named = end, ""
        elif line.startswith("    "):
            end = next(
                (i for i in range(index, len(lines)) if not lines[i].startswith("    ")), len(lines)
            )
            found += _commands(page, number, [each.strip() for each in lines[index:end]])
            index = end - 1
        elif line.strip():
            match = documented.NAMED.search(line.strip())
            named = match[1] if match and match[1] in written else ""
        index += 1
    return found


def _commands(page, number, lines):
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [
        Step(f"{page}:{number + at}", "command", line)
        for at, line in enumerate(joined)
        if BEGINNING.match(line)
    ]
