"""Download single files from the Hugging Face hub or from their own URL: look up, resume, verify."""

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import WeightsError
from pipeline.weights.catalog import HubFile, Link, PinnedFile
from pipeline.weights.folder import PARTIAL_PREFIX, sha256_of

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
# Attempts in a row that bring nothing at all; one that brings bytes starts the count again.
ATTEMPTS = 4
PAUSE_SECONDS = 1.0
# Whether the hub is asked again after an error that may pass.
RETRY = True
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Remote:
    """A file as its server describes it. `sha256` is the content's; `blob` git's own hash of a small file, or empty."""

    url: str
    bytes: int | None
    sha256: str | None
    blob: str = ""
    revision: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def resolve_remote(pinned: PinnedFile, endpoint: str | None) -> Remote:
    """Where a file can be had now, its size and its hash. Raises WeightsError when its server does not say."""
    if isinstance(pinned.origin, Link):
        return Remote(pinned.origin.url, pinned.bytes, pinned.sha256)
    assert isinstance(pinned.origin, HubFile)
    remote = query_hub(pinned.origin, endpoint)
    if pinned.bytes is not None and remote.bytes not in (None, pinned.bytes):
        raise WeightsError(
            f"The hub's {pinned.origin.repository}/{pinned.origin.path} is {remote.bytes} bytes long instead of "
            f"{pinned.bytes}; nothing was downloaded."
        )
    if pinned.sha256 and remote.sha256 and remote.sha256 != pinned.sha256:
        raise WeightsError(
            f"The hub's {pinned.origin.repository}/{pinned.origin.path} is not the file that was pinned: its sha256 "
            "differs; nothing was downloaded."
        )
    return Remote(
        remote.url,
        pinned.bytes or remote.bytes,
        pinned.sha256 or remote.sha256,
        "" if pinned.sha256 else remote.blob,
        remote.revision,
        remote.headers,
    )


def query_hub(origin: HubFile, endpoint: str | None) -> Remote:
    """What the hub says of one file, by its own library. Raises WeightsError."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import build_hf_headers
    except ImportError as error:
        raise WeightsError(
            "Weights from the Hugging Face hub need the package huggingface_hub. Fix: python -m pip install '.[gpu]'"
        ) from error
    import httpx2

    name = f"{origin.repository}/{origin.path}"
    url = hf_hub_url(origin.repository, origin.path, revision=origin.revision, endpoint=endpoint)
    try:
        found = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, endpoint=endpoint, retry_on_errors=RETRY)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"The hub does not give {name} at {origin.revision}: {reason}") from error
    etag = found.etag or ""
    # The token of whoever is signed in is for the hub alone, not for the storage that it sends us to.
    same_host = urlsplit(found.location).netloc == urlsplit(url).netloc
    return Remote(
        url=found.location,
        bytes=found.size,
        sha256=etag if len(etag) == SHA256_DIGITS else None,
        blob="" if len(etag) == SHA256_DIGITS else etag,
        revision=found.commit_hash or origin.revision,
        headers=build_hf_headers() if same_host else {},
    )


def download(
    locate: Callable[[], Remote], name: str, directory: Path, on_bytes: Callable[[int], None]
) -> tuple[Path, Remote]:
    """The file, whole and verified, under a name for drafts in `directory`; goes on with what an earlier call left.

    Addresses of the hub's storage expire: when one is refused, `locate` is asked for another. `on_bytes` hears how
    many bytes are here. Raises WeightsError; what came so far stays, unless it turned out to be another file."""
    remote, is_new = locate(), True
    identity = remote.sha256 or remote.blob or remote.url
    partial = directory / f"{PARTIAL_PREFIX}{hashlib.sha256(f'{name} {identity}'.encode()).hexdigest()[:16]}"
    failures = 0
    while remote.bytes is None or size_of(partial) < remote.bytes:
        before, reason = size_of(partial), "the connection ended early"
        try:
            transfer(remote, partial, on_bytes)
            if remote.bytes is None:
                break
        except urllib.error.HTTPError as error:
            reason = f"the server says {error.code} {error.reason}"
            if error.code < 500 and is_new:
                failures = ATTEMPTS
            elif error.code < 500:
                remote, is_new = locate(), True
                continue
        except (HTTPException, TimeoutError, ConnectionError, ssl.SSLError, urllib.error.URLError) as error:
            reason = str(error) or type(error).__name__
        is_new = False
        came = size_of(partial) - before
        failures = 0 if came > 0 and failures < ATTEMPTS else failures + 1
        if failures >= ATTEMPTS:
            raise WeightsError(
                f"{name} could not be downloaded: {reason}. What is here is kept; the same command goes on with it."
            )
        if came <= 0:
            time.sleep(PAUSE_SECONDS)
    verify(remote, name, partial)
    return partial, remote


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def transfer(remote: Remote, partial: Path, on_bytes: Callable[[int], None]) -> None:
    """Appends to the partial file what it still lacks, as far as the connection carries."""
    here = size_of(partial)
    request = urllib.request.Request(remote.url, headers={**remote.headers, "Accept-Encoding": "identity"})  # noqa: S310
    if here:
        request.add_header("Range", f"bytes={here}-")
    response: HTTPResponse
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - our catalog's address
        # A server that does not know ranges sends the whole file again.
        here = here if response.status == 206 else 0
        with partial.open("ab" if here else "wb") as file:
            while chunk := response.read1(CHUNK_BYTES):
                file.write(chunk)
                here += len(chunk)
                on_bytes(here)


def verify(remote: Remote, name: str, partial: Path) -> None:
    """Raises WeightsError, and deletes the file, unless it is what its server or the catalog says."""
    size = partial.stat().st_size
    if remote.bytes is not None and size != remote.bytes:
        fault = f"is {size} bytes long instead of {remote.bytes}"
    elif remote.sha256 is not None:
        fault = "" if sha256_of(partial) == remote.sha256 else "is not the file that was pinned: its sha256 differs"
    elif remote.blob:
        fault = "" if git_blob_hash(partial) == remote.blob else "is not what the hub says it is: its hash differs"
    else:
        fault = "has no hash, neither in the catalog nor on the hub"
    if fault:
        partial.unlink()
        raise WeightsError(f"{name} {fault}; it was not kept.")


def git_blob_hash(path: Path) -> str:
    """How git, and so the hub, names a file that is not in large file storage."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
