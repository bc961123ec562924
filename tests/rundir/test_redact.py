from rlhf.rundir.redact import is_secret, redact_override, redact_text, redact_value, redacted_file


def test_secrets_by_name():
    secret = ["token", "hub.access_token", "api_key", "DB_PASSWORD", "client-secret", "key"]
    plain = [
        "pad_token",
        "tokenizer",
        "unit",
        "max_tokens",
        "kl/token_nats",
        "keys",
        "token.path",
        "monkey",
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
