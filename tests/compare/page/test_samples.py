from rlhf.compare.page.samples import side_by_side
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.study import study


def _row(iteration, prompt, response, **more):
    return {
        "iteration": iteration,
        "prompt": prompt,
        "response": response,
        "reward/gold": 1.5,
        "kl/sequence_nats": 2.0,
        "ended": True,
        **more,
    }


def _study(rundirs, tmp_path, **rows):
    for i, (name, lines) in enumerate(rows.items()):
        run = rundirs.make_run(tmp_path / name, coef=0.1 * (i + 1))
        rundirs.append(run / "samples.jsonl", *lines)
    return study(tmp_path, load(tmp_path))


def test_the_same_prompts_under_sft_and_each_setting(rundirs, tmp_path):
    a = [
        _row(0, "p", "sft p"),
        _row(0, "q", "sft q"),
        _row(2, "p", "early"),
        _row(4, "p", "a p"),
        _row(4, "q", "a q"),
    ]
    b = [_row(0, "p", "sft p"), _row(4, "p", "b p")]
    (sample,) = side_by_side(_study(rundirs, tmp_path, a=a, b=b))
    assert sample.prompt == "p"
    assert [(r.who, r.text) for r in sample.responses] == [
        ("SFT", "sft p"),
        ("kl.coef=0.1", "a p"),
        ("kl.coef=0.2", "b p"),
    ]
    assert (sample.responses[0].rewards, sample.responses[0].kl, sample.responses[0].tokens) == (
        {"gold": 1.5},
        2.0,
        (),
    )


def test_tokens_with_their_kl(rundirs, tmp_path):
    rows = [_row(4, "p", " so good", tokens=[" so", " good", "<eos>"], token_kl=[1.0, -9.0, "nan"])]
    (sample,) = side_by_side(_study(rundirs, tmp_path, a=rows))
    so, good, eos = sample.responses[0].tokens
    assert (so.lead, so.text, so.shade, so.above) == (" ", "so", 50, True)  # sqrt(1 / 4)
    assert (good.shade, good.above, eos.kl) == (100, False, 0.0)
    assert [r.who for r in sample.responses] == ["kl.coef=0.1"]  # no iteration 0: SFT is not shown


def test_lists_of_other_lengths_are_not_trusted(rundirs, tmp_path):
    (sample,) = side_by_side(
        _study(rundirs, tmp_path, a=[_row(4, "p", "x", tokens=["x"], token_kl=[])])
    )
    assert sample.responses[0].tokens == ()


def test_nothing_shared_or_nothing_at_all(rundirs, tmp_path):
    assert (
        side_by_side(_study(rundirs, tmp_path, a=[_row(4, "p", "x")], b=[_row(4, "q", "x")])) == []
    )
    assert side_by_side(study(tmp_path, [])) == []
