import pytest

from rlhf.data.records import DataError
from rlhf.data.rendering.choice import SOME_DAY, adds_bos, built_in, choose, prefix, undated
from tests.data.rendering import families
from tests.data.rendering.families import Family


def named(choice, tokenizer, continues=False):
    return choose(choice, tokenizer, continues=continues).name


def test_auto_is_the_models_own_or_else_by_what_the_rows_are(tokenizer):
    own = families.tokenizer("zephyr")
    assert named("auto", own) == named("auto", own, continues=True) == "model"
    assert choose("auto", own, continues=False).text == families.template("zephyr")
    assert named("auto", tokenizer) == "transcript"
    assert named("auto", tokenizer, continues=True) == "plain"


def test_ours_are_had_by_name_whatever_the_model_has(tokenizer):
    assert built_in() == ["alpaca", "chatml", "plain", "transcript"]
    for name in built_in():
        assert named(name, tokenizer) == named(name, families.tokenizer("gemma")) == name


def test_a_model_without_a_template_of_its_own(tokenizer):
    with pytest.raises(DataError) as caught:
        choose("model", tokenizer, continues=False)
    assert str(caught.value) == (
        "data.template=model: the model's tokenizer has no chat template; choose alpaca, chatml,"
        " plain, transcript or a file (data.template=my.jinja)"
    )


def test_of_several_templates_the_default_one():
    tokenizer = families.tokenizer("qwen2")
    tokenizer.chat_template = {"tool_use": "tools", "default": "plainly"}
    assert choose("model", tokenizer, continues=False).text == "plainly"
    tokenizer.chat_template = {"tool_use": "tools"}
    assert named("auto", tokenizer) == "transcript"


def test_a_file(tmp_path, tokenizer):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0].content }}é")
    template = choose(str(path), tokenizer, continues=False)
    assert template == (str(path), "{{ messages[0].content }}é")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (
            "chatlm",
            "data.template=chatlm: expected auto, model, alpaca, chatml, plain, transcript or a"
            " file that ends with .jinja; did you mean chatml?",
        ),
        (
            "mine.txt",
            "data.template=mine.txt: expected auto, model, alpaca, chatml, plain, transcript or a"
            " file that ends with .jinja",
        ),
        (
            "none.jinja",
            "data.template=none.jinja: cannot be read (No such file or directory)",
        ),
        (".jinja", "data.template=.jinja: expected auto, model, alpaca, chatml, plain, transcript"),
    ],
)
def test_choices_that_are_none(choice, reason, tokenizer):
    with pytest.raises(DataError) as caught:
        choose(choice, tokenizer, continues=False)
    assert str(caught.value).startswith(reason)


def test_a_file_that_is_no_text(tmp_path, tokenizer):
    path = tmp_path / "mine.jinja"
    path.write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"mine\.jinja: not UTF-8 at byte 3$"):
        choose(str(path), tokenizer, continues=False)


def test_a_dated_template_has_one_day(tmp_path):
    dated = "{{ strftime_now('%d %b %Y') }}"
    assert undated(dated) == SOME_DAY + dated == undated(undated(dated))
    assert undated("{{ my_strftime_now }}") == "{{ my_strftime_now }}"
    tokenizer = families.tokenizer("llama32")
    for choice in ("auto", str(tmp_path / "mine.jinja")):
        (tmp_path / "mine.jinja").write_text(families.template("llama32"))
        text = choose(choice, tokenizer, continues=False).text
        written = tokenizer.apply_chat_template(
            [{"role": "user", "content": "a"}], chat_template=text, tokenize=False
        )
        assert "Today Date: 26 Jul 2024\n" in written


def made(kind, **settings):
    return families.build(Family(eos="</s>", bos="<s>", kind=kind, **settings))


def test_bos_is_added_where_the_tokenizer_adds_it(tokenizer):
    assert not adds_bos(tokenizer)
    assert adds_bos(made("bytes", adds_bos=True)) and not adds_bos(made("bytes"))


@pytest.mark.parametrize(
    ("kind", "adds", "written"),
    [
        ("bytes", True, "bos_token"),
        ("bytes", False, "''"),
        ("always", True, "bos_token"),
        ("legacy", True, "bos_token"),
        ("never", True, "bos_token"),
        ("first", True, "bos_token ~ ('' if messages[0].content[:1] in ('', ' ') else ' ')"),
        ("first", False, "''"),
    ],
)
def test_plain_begins_as_the_tokenizer_begins_a_text(kind, adds, written):
    assert prefix("plain", made(kind, adds_bos=adds)) == written


def test_other_templates_begin_with_bos_alone():
    assert prefix("transcript", made("first", adds_bos=True)) == "bos_token"
