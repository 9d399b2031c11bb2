"""Download single files from the Hugging Face Hub or from their own URL: look up, resume and verify."""

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pipeline.errors import WeightsError
from pipeline.weights.catalog import HubFile, Link, PinnedFile
from pipeline.weights.folder import PARTIAL_PREFIX, sha256_of

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
# Number of consecutive attempts without any new bytes after which a download fails.
MAX_ATTEMPTS = 4
PAUSE_SECONDS = 1.0
# Let the Hub's library retry its own requests.
RETRY_ON_ERRORS = True
SHA256_DIGITS = 64
# Answers of an overloaded server, which a later attempt can change.
TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True)
class Remote:
    """A file as its server describes it.

    Attributes:
        url: URL of the file.
        size: size in bytes, or None if unknown.
        sha256: hash of the content, or None if unknown.
        git_sha1: git's hash of a small file, or empty.
        revision: commit on the Hub, or empty.
        headers: HTTP headers for the download.
    """

    url: str
    size: int | None
    sha256: str | None
    git_sha1: str = ""
    revision: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def resolve_remote(pinned: PinnedFile, endpoint: str | None) -> Remote:
    """Look up the current URL, size and hash of a file.

    Raises WeightsError if the server does not find the file, or reports another size or hash than the catalog."""
    if isinstance(pinned.origin, Link):
        return Remote(pinned.origin.url, pinned.bytes, pinned.sha256)
    assert isinstance(pinned.origin, HubFile)
    remote = query_hub(pinned.origin, endpoint)
    if pinned.bytes is not None and remote.size not in (None, pinned.bytes):
        raise WeightsError(
            f"The hub's {pinned.origin.repository}/{pinned.origin.path} is {remote.size} bytes long instead of "
            f"{pinned.bytes}. Nothing was downloaded."
        )
    if pinned.sha256 and remote.sha256 and remote.sha256 != pinned.sha256:
        raise WeightsError(
            f"The hub's {pinned.origin.repository}/{pinned.origin.path} is not the pinned file: its sha256 "
            "differs. Nothing was downloaded."
        )
    return Remote(
        remote.url,
        pinned.bytes or remote.size,
        pinned.sha256 or remote.sha256,
        "" if pinned.sha256 else remote.git_sha1,
        remote.revision,
        remote.headers,
    )


def query_hub(origin: HubFile, endpoint: str | None) -> Remote:
    """Ask the Hub for the metadata of one file, using the Hub's own library.

    Raises WeightsError."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import build_hf_headers
    except ImportError as error:
        raise WeightsError(
            "Weights from the Hugging Face Hub need the package huggingface_hub. Fix: python -m pip install '.[gpu]'"
        ) from error
    import httpx2

    name = f"{origin.repository}/{origin.path}"
    url = hf_hub_url(origin.repository, origin.path, revision=origin.revision, endpoint=endpoint)
    try:
        found = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, endpoint=endpoint, retry_on_errors=RETRY_ON_ERRORS)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"Could not get {name} at {origin.revision} from the hub: {reason}") from error
    etag = found.etag or ""
    # Send the user's token only to the Hub, not to the storage that the Hub redirects to.
    same_host = urlsplit(found.location).netloc == urlsplit(url).netloc
    return Remote(
        url=found.location,
        size=found.size,
        sha256=etag if len(etag) == SHA256_DIGITS else None,
        git_sha1="" if len(etag) == SHA256_DIGITS else etag,
        revision=found.commit_hash or origin.revision,
        headers=build_hf_headers() if same_host else {},
    )


def download(
    locate: Callable[[], Remote], name: str, directory: Path, on_bytes: Callable[[int], None]
) -> tuple[Path, Remote]:
    """Download and verify one file. Returns its path in `directory`, and its description by the server.

    Resumes the partial file of an earlier call. Keeps a partial file after an error, unless its content is wrong.

    Args:
        locate: looks up the URL. Called again if a URL of the Hub's storage has expired.
        name: name of the file.
        directory: folder for the downloaded file.
        on_bytes: called with the number of bytes on disk.

    Raises WeightsError.
    """
    remote, url_is_fresh = locate(), True
    identity = remote.sha256 or remote.git_sha1 or remote.url
    partial = directory / f"{PARTIAL_PREFIX}{hashlib.sha256(f'{name} {identity}'.encode()).hexdigest()[:16]}"
    attempts_without_progress = 0
    while remote.size is None or size_of(partial) < remote.size:
        size_before, reason = size_of(partial), "the connection ended early"
        try:
            transfer(remote, partial, on_bytes)
            if remote.size is None:
                break
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and remote.size is None and size_before:
                # The partial file is complete, because the server has nothing left to send.
                break
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in TRANSIENT:
                if url_is_fresh:
                    raise _download_error(name, reason) from error
                remote, url_is_fresh = locate(), True
                continue
        except (HTTPException, TimeoutError, ConnectionError, ssl.SSLError, urllib.error.URLError) as error:
            reason = str(error) or type(error).__name__
        url_is_fresh = False
        if size_of(partial) > size_before:
            attempts_without_progress = 0
            continue
        attempts_without_progress += 1
        if attempts_without_progress >= MAX_ATTEMPTS:
            raise _download_error(name, reason)
        time.sleep(PAUSE_SECONDS)
    verify(remote, name, partial)
    return partial, remote


def _download_error(name: str, reason: str) -> WeightsError:
    return WeightsError(f"{name} could not be downloaded: {reason}. Run the command again to continue the download.")


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _PrivateRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but send the user's token to the first host only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            following.remove_header("Authorization")
        return following


def transfer(remote: Remote, partial: Path, on_bytes: Callable[[int], None]) -> None:
    """Append the missing bytes to the partial file, until it is complete or the connection fails."""
    here = size_of(partial)
    request = urllib.request.Request(remote.url, headers={**remote.headers, "Accept-Encoding": "identity"})  # noqa: S310
    if here:
        request.add_header("Range", f"bytes={here}-")
    response: HTTPResponse
    opener = urllib.request.build_opener(_PrivateRedirects)
    with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
        # A server that does not support ranges sends the whole file again.
        here = here if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        sent = response.headers.get("Content-Range", "")
        if here and sent and not sent.startswith(f"bytes {here}-"):
            raise HTTPException(f"the server sent another part of the file ({sent})")
        with partial.open("ab" if here else "wb") as file:
            while chunk := response.read1(CHUNK_BYTES):
                file.write(chunk)
                here += len(chunk)
                on_bytes(here)


def verify(remote: Remote, name: str, partial: Path) -> None:
    """Verify the size and hash of a file, as given by the catalog or the server.

    Deletes a faulty file and raises WeightsError."""
    size = partial.stat().st_size
    if remote.size is not None and size != remote.size:
        fault = f"is {size} bytes long instead of {remote.size}"
    elif remote.sha256 is not None:
        fault = "" if sha256_of(partial) == remote.sha256 else "is not the pinned file: its sha256 differs"
    elif remote.git_sha1:
        fault = "" if git_blob_hash(partial) == remote.git_sha1 else "does not match the hash on the hub"
    else:
        fault = "has no hash in the catalog or on the hub"
    if fault:
        partial.unlink()
        raise WeightsError(f"{name} {fault}. It was not saved.")


def git_blob_hash(path: Path) -> str:
    """Return git's SHA-1 of a file. The Hub uses it for files that are not in large file storage."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
