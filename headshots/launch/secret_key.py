"""Create the secret key of a data folder once, and store it apart from the folder and its backups."""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from pathlib import Path

from headshots.launch import CannotRun, echo


def secret_key(data: Path) -> str:
    """Return the key that signs sessions and encrypts second factors, after creating it if there is none.

    The key is stored next to the key ring of headshots, under the id of the data folder.
    A key that an earlier version left in the data folder is moved there. Raises CannotRun."""
    folder = state_folder() / "secrets"
    if folder.is_relative_to(data):
        raise CannotRun(f"secrets must not be stored below {data}. Set HEADSHOTS_HEADSHOT_KEYS_DIR to another folder")
    old = data / "secret_key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_used = (data / "id").exists()
        file = folder / data_id(data)
        if not file.exists():
            earlier = old.read_text().strip() if old.exists() else ""
            if is_used and not earlier:
                # The state folder was changed or lost, or the data folder was copied from another machine.
                echo(
                    f"{folder} has no secret key for {data}, so a new one is created. Everyone is signed out, and "
                    "existing two-factor codes stop working. If you have the old key, stop Headshots and write the key "
                    f"to {file}."
                )
            create_once(file, earlier or secrets.token_urlsafe(50))
        key = file.read_text().strip()
        if old.exists():
            remove_moved(old, key, file)
    except OSError as error:
        raise CannotRun(
            f"cannot store the secret key in {folder} ({error.strerror}). Choose another folder with "
            "HEADSHOTS_HEADSHOT_KEYS_DIR, or set HEADSHOTS_SECRET_KEY"
        ) from error
    return key


def state_folder() -> Path:
    """Return the folder that contains the key ring of headshots, with the defaults of headshots/settings.py."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(os.environ.get("HEADSHOTS_HEADSHOT_KEYS_DIR") or Path(state) / "headshots").resolve()


def data_id(data: Path) -> str:
    """Return the id of a data folder, after creating it if there is none.

    headshots/vault/rings.py uses the same id."""
    file = data / "id"
    if not file.exists():
        create_once(file, str(uuid.uuid4()))
    # Parsed as a UUID, so that the content of the file cannot become a path.
    return str(uuid.UUID(file.read_text().strip()))


def create_once(file: Path, content: str) -> None:
    """Create a file atomically, readable by this user only. Never changes an existing file."""
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{content}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)


def remove_moved(old: Path, key: str, file: Path) -> None:
    """Overwrite and remove the old key file in the data folder, unless it holds a different key."""
    if old.read_text().strip() not in {key, ""}:
        echo(f"{old} and {file} contain different secret keys. {file} is used. Remove the wrong one.")
        return
    with old.open("r+b") as opened:
        opened.write(bytes(old.stat().st_size))
        opened.flush()
        os.fsync(opened.fileno())
    old.unlink()
