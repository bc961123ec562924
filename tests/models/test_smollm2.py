import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlhf.config.compose import compose
from rlhf.models.smollm2 import CARD, FOLDER, convert, gguf_file, made_once, main
from rlhf.rundir.errors import ModelError


def model_in(folder):
    (folder / "config.json").write_text("{}")


def test_made_once(tmp_path):
    folder, calls = tmp_path / "models" / "m", []

    def make(work):
        assert work == folder.with_name("m.work")
        assert not folder.exists()
        calls.append(work)
        model_in(work)

    assert made_once(folder, make)
    assert not made_once(folder, make)
    assert len(calls) == 1
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert not folder.with_name("m.work").exists()


def test_a_maker_that_fails_leaves_nothing(tmp_path):
    def fails(work):
        model_in(work)
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        made_once(tmp_path / "m", fails)
    assert {path.name for path in tmp_path.iterdir()} <= {"m.lock"}
    assert made_once(tmp_path / "m", model_in)


def test_a_killed_maker_leaves_no_folder_and_the_next_begins_anew(tmp_path):
    """It is killed with half a file in the work folder; the lock falls free."""
    folder = tmp_path / "m"
    code = (
        "import sys, pathlib\n"
        "from filelock import FileLock\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "work = folder.with_name('m.work')\n"
        "with FileLock(folder.with_name('m.lock')):\n"
        "    work.mkdir(); (work / 'half').write_text('x'); print('here', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"here\n"
    process.kill()
    process.wait()
    assert folder.with_name("m.work").exists()
    assert made_once(folder, model_in)
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_two_at_once_make_it_once(tmp_path):
    folder, calls = tmp_path / "m", []

    def slowly(work):
        calls.append(work)
        time.sleep(0.2)
        model_in(work)

    threads = [threading.Thread(target=made_once, args=(folder, slowly)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_something_else_in_its_place(tmp_path, capsys):
    with pytest.raises(ModelError, match="holds no model"):
        made_once(tmp_path, model_in)
    assert main([str(tmp_path)]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("rlhf.models.smollm2.PACKAGES", ("no_such_package",))
    assert main([str(tmp_path / "m")]) == 2
    assert "no_such_package cannot be imported: `make smollm2`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_one_that_the_config_names():
    assert Path(compose(["model=smollm2"]).model.path) == FOLDER


@pytest.mark.slow
def test_the_real_model(tmp_path):
    """The ids of a chat, and a sentence that a broken conversion would not give."""
    from rlhf.models.load import load_causal_lm, load_tokenizer

    try:
        gguf_file()
    except ModelError as error:
        pytest.skip(str(error))
    folder = tmp_path / "m"
    assert made_once(folder, convert)
    assert (folder / "README.md").read_text() == CARD
    model, tokenizer = load_causal_lm(folder), load_tokenizer(folder)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 2, 1)
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 8192
    words = tokenizer.convert_ids_to_tokens(tokenizer("a   12")["input_ids"])
    assert words == ["a", "ĠĠĠ", "1", "2"]
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    assert ids[0, :4].tolist() == [1, 9690, 198, 2683]  # <|im_start|>system\nYou
    assert ids[0, -3:].tolist() == [520, 9531, 198]  # assistant\n
    answer = model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
