"""Sending an exported directory to the Hugging Face hub, where one answers."""

from __future__ import annotations

import os
from pathlib import Path

from rlhf.rundir.secrets.redact import redact_text, remember, sentence


class NoHub(RuntimeError):
    """Nothing can be sent. `exit_code`: 2 where the name is wrong, else 1."""

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def check_name(name: str) -> None:
    """Raises NoHub where a hub takes no such name. Asks nobody."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise NoHub(f"--push {name}: expected owner/name, such as me/my-policy", 2) from None


def check_login() -> None:
    """Raises NoHub where no hub answers, or it does not know who asks. Asked before a model is
    read."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    remember(os.environ.get("HF_TOKEN"))
    where = redact_text(constants.ENDPOINT)
    try:
        HfApi().whoami()
    except LocalTokenNotFoundError:
        raise NoHub(f"nobody is logged in at {where}: `hf auth login`, or set HF_TOKEN") from None
    except OfflineModeIsEnabled:
        raise NoHub("HF_HUB_OFFLINE is set, so no hub is asked; --to writes a directory") from None
    except HfHubHTTPError as error:
        raise NoHub(f"{where} refuses this login ({sentence(error)})") from None
    except Exception as error:  # of any library below: httpx, sockets, certificates
        raise NoHub(
            f"no hub answers at {where} ({sentence(error)}); --to writes a directory"
        ) from None


def push(folder: Path, name: str, *, private: bool) -> str:
    """Sends the files of a directory; returns its address there. Raises NoHub."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        place = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=place.repo_id, folder_path=str(folder))
    except Exception as error:  # of any library below
        raise NoHub(f"{name} was not sent: {sentence(error)}") from None
    return str(place)
