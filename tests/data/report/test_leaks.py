"""A prompt is on one side of the split, whichever file it came from and whatever its spaces."""

import json

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.records import Loaded
from rlhf.data.report.measure import count_part, prompts_in_common


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def load(**files):
    given = [f"data.{part}={file}" for part, file in files.items()]
    return Loaded.of(build(validate(compose(["data=jsonl", *given, "stage=sft"])).data)).data


def test_prompts_that_differ_in_spaces_are_on_one_side(tmp_path):
    spelled = [f"question {k}{end}" for k in range(60) for end in ("", " ", "\n")]
    rows = [{"prompt": prompt, "completion": " yes"} for prompt in spelled]
    data = load(demonstrations=write(tmp_path / "d.jsonl", rows))
    part = count_part("demonstrations", data.demonstrations, [])
    assert (part.duplicates, part.duplicates_but_for_spaces) == (0, 120)
    assert prompts_in_common({"demonstrations": data.demonstrations})[0] == {"demonstrations": 0}
    assert len(data.demonstrations.heldout) % 3 == 0 and data.demonstrations.heldout


def test_the_prompts_of_three_files_are_on_one_side(tmp_path):
    asked = [f"question {k}" for k in range(80)]
    data = load(
        demonstrations=write(
            tmp_path / "d.jsonl", [{"prompt": p, "completion": " yes"} for p in asked[:60]]
        ),
        preferences=write(
            tmp_path / "p.jsonl",
            [{"prompt": f"{p} ", "chosen": " yes", "rejected": " no"} for p in asked[20:]],
        ),
        prompts=write(tmp_path / "q.jsonl", [{"prompt": f" {p}"} for p in asked[40:]]),
    )
    parts = {name: getattr(data, name) for name in ("demonstrations", "preferences", "prompts")}
    both, shared = prompts_in_common(parts)
    assert set(both.values()) == {0} and len(both) == 9
    assert shared == {
        "demonstrations, preferences": 40,
        "demonstrations, prompts": 20,
        "preferences, prompts": 40,
    }
