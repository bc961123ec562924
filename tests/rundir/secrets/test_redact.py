import io

import pytest

from rlhf.rundir.secrets import redact
from rlhf.rundir.secrets.environment import filled, mark
from rlhf.rundir.secrets.redact import (
    Redacted,
    is_secret,
    looked_up,
    redact_message,
    redact_override,
    redact_text,
    redact_value,
    redacted_file,
    remember,
    secrets_in,
)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(redact, "_known", set())


def test_secrets_by_name():
    secret = ["token", "hub.access_token", "api_key", "DB_PASSWORD", "client-secret", "key"]
    secret += [
        "apikey",
        "apiKey",
        "accessToken",
        "headers.Authorization",
        "pwd",
        "api_keys",
        "cookie",
    ]
    plain = [
        "pad_token",
        "tokenizer",
        "unit",
        "max_tokens",
        "kl/token_nats",
        "keys",
        "token.path",
        "monkey",
        "prompt_key",
        "data.label_key",
        "stop_token",
    ]
    assert [k for k in secret + plain if is_secret(k)] == secret


def test_values_keep_their_shape():
    assert redact_value(
        "", {"a": {"token": "x", "n": [1, None]}, "key": 5, "url": "http://u:p@h/"}
    ) == {
        "a": {"token": "***", "n": [1, None]},
        "key": 5,
        "url": "http://***@h/",
    }
    assert redact_text("see me@host, http://h/a@b") == "see me@host, http://h/a@b"


def test_a_clean_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1   # why\n")
    assert redacted_file(path) is None
    path.write_text("b: 2\na:\n  password: x\n")
    assert redacted_file(path) == "b: 2\na:\n  password: '***'\n"
    (tmp_path / "m.json").write_text('{"token": "x"}')
    assert redacted_file(tmp_path / "m.json") == '{\n  "token": "***"\n}\n'


def test_a_password_with_an_at_sign_is_hidden_whole():
    assert redact_text("https://me:p@ss@h/x, me@home") == "https://***@h/x, me@home"


def test_overrides_lose_their_secrets():
    words = [
        "kl.coef=0,1",
        "+hub.token=a=b",
        "tracking.uri=http://u:p@h",
        "~callbacks.oracle",
        "token=",
    ]
    assert [redact_override(word) for word in words] == [
        "kl.coef=0,1",
        "+hub.token=***",
        "tracking.uri=http://***@h",
        *words[3:],
    ]


def test_a_dict_or_a_list_in_an_override_loses_its_secrets():
    hidden = {
        "+x={password: abc}": "+x=***",
        "+x=[{url: h, api_key: abc}, {n: 1}]": "+x=***",
        "+x={hub: {'access-token': 'a,b}'}}": "+x=***",
        r"x=\"{'secret' : abc}\"": "x=***",
        "x={token: abc},{token: def}": "x=***",
        "+password=abc": "+password=***",
        "++a.auth=abc": "++a.auth=***",
        'tracking={uri: "http://u:p@h", experiment: e}': (
            'tracking={uri: "http://***@h", experiment: e}'
        ),
        "tracking.uri=postgresql://h/db?user=me&password=abc": (
            "tracking.uri=postgresql://h/db?user=me&password=***"
        ),
    }
    assert {word: redact_override(word) for word in hidden} == hidden
    plain = [
        "ppo.optimizer={lr: 0.001, betas: [0.9, 0.999]}",
        "+x={pad_token: <pad>, tokens: [a]}",
        "kl.coef=tag(log, interval(0.1, 1))",
    ]
    assert [redact_override(word) for word in plain] == plain


def test_a_variable_of_the_environment_is_no_secret_but_its_default_is():
    values = {
        "api_key": "${oc.env:KEY}",
        "token": "Bearer ${oc.env:KEY}",
        "secret": "${oc.env:KEY,'abc'}",
        "password": "${oc.env:KEY,null}",
        "key": "${oc.decode:${oc.env:KEY}}",
        "url": "http://me:${oc.env:PW}@h/?token=${oc.env:T}&key=abc",
        "login": "http://${oc.env:LOGIN}@h",
        "half": "http://me:abc${oc.env:PW}@h",
    }
    clean = values | {
        "secret": "${oc.env:KEY,'***'}",
        "url": "http://me:${oc.env:PW}@h/?token=${oc.env:T}&key=***",
        "half": "http://***@h",
    }
    assert redact_value("", values) == clean
    lines = {
        "+scorer.api_key=${oc.env:KEY}": "+scorer.api_key=${oc.env:KEY}",
        "x={api_key: '${oc.env:KEY}', token: abc}": "x=***",
    }
    assert {line: redact_override(line) for line in lines} == lines


def test_secrets_that_were_given_are_hidden_in_messages_only():
    """In a value that is read again they could be a part of a name."""
    for secret in ("helpful-v2", "short", "/home/me/keys", "http://me:pa55word@h/?token=t0ken5"):
        remember(secret)
    assert redact._known == {"helpful-v2", "pa55word", "t0ken5"}
    text = "no answer from helpful-v2 (short) at /home/me/keys: pa55word"
    assert redact_message(text) == "no answer from *** (short) at /home/me/keys: ***"
    assert redact_text(text) == text
    assert redact_value("study", "helpful-v2") == "helpful-v2"


def test_a_stream_without_secrets():
    remember("helpful-v2")
    stream = io.StringIO()
    print("key helpful-v2", file=Redacted(stream))
    Redacted(stream).writelines(["a\n", "helpful-v2\n"])
    assert stream.getvalue() == "key ***\na\n***\n"
    assert Redacted(stream).getvalue() == stream.getvalue()


def test_secrets_in_a_config():
    plain = {
        "a": {"api_key": "x", "n": [{"token": "y"}], "pad_token": "z", "key": 5},
        "tracking": {"uri": "http://me:p@h", "secret": "${oc.env:S}"},
    }
    assert [*secrets_in(plain)] == [("a.api_key", "x"), ("a.n.token", "y"), ("tracking.uri", "p")]


def test_variables_are_looked_up(monkeypatch):
    monkeypatch.setenv("MINE", "a'b")
    monkeypatch.delenv("NONE", raising=False)
    assert filled("x ${oc.env:MINE}, ${oc.env:NONE,'it\\'s'} ${oc.env:NONE,null}") == (
        "x a'b, it's null"
    )
    assert filled("${other} ${oc.env}") == "${other} ${oc.env}"
    with pytest.raises(ValueError, match="asks for NONE of the environment, which is not set"):
        looked_up("${oc.env:NONE}")
    assert [mark("A"), mark("A", None), mark("A", "it's")] == [
        "${oc.env:A}",
        "${oc.env:A,null}",
        "${oc.env:A,'it\\'s'}",
    ]
