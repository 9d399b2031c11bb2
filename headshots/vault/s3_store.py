"""Store blobs in an S3 bucket. Only ciphertext leaves this machine.

boto3 finds the credentials itself: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from uuid import UUID

from headshots.vault.blob_ids import FIRST, LAST
from headshots.vault.errors import BlobMissing, VaultUnavailable
from headshots.vault.private_files import uuid_or_none
from headshots.vault.store import BlobName

if TYPE_CHECKING:
    from botocore.client import BaseClient

CONNECT_SECONDS, READ_SECONDS = 3, 20
# In its standard mode, boto3 retries server and network errors after at most 1, 2 and 4 seconds.
ATTEMPTS = 4
_Page = TypeVar("_Page")
# S3's limit for one delete request.
_DELETE_BATCH_SIZE = 1000
_PART_BYTES = 8 * 1024 * 1024


class S3Store:
    """Blobs as objects `<prefix><ring>/<id>`. `prefix` is empty or ends with a slash."""

    def __init__(self, client: "BaseClient", bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def write(self, name: BlobName, chunks: Iterable[bytes]) -> None:
        """Upload a blob. The object becomes visible with its last part, never before."""
        from boto3.s3.transfer import TransferConfig

        # Upload the parts sequentially, in this thread. Each part stays in memory until it has been sent, for retries.
        one_by_one = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False)
        with _translate_errors():
            self._client.upload_fileobj(
                io.BufferedReader(_Upload(chunks)), self._bucket, self._key(name), Config=one_by_one
            )

    def open(self, name: BlobName) -> BinaryIO:
        with _translate_errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            except self._client.exceptions.NoSuchKey:
                raise BlobMissing(name.blob_id) from None
        return io.BufferedReader(_Download(answer["Body"]), _PART_BYTES)

    def delete(self, names: Sequence[BlobName]) -> None:
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), _DELETE_BATCH_SIZE):
            some = {"Objects": keys[start : start + _DELETE_BATCH_SIZE], "Quiet": True}
            with _translate_errors():
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=some)
            if any(error.get("Code") != "NoSuchKey" for error in answer.get("Errors", [])):
                raise VaultUnavailable("the bucket did not delete all files")

    def ids(self, ring: str, first: UUID = FIRST, last: UUID = LAST) -> Iterator[UUID]:
        folder = f"{self._prefix}{ring}/"
        # StartAfter is exclusive.
        after = {"StartAfter": f"{folder}{UUID(int=first.int - 1)}"} if first != FIRST else {}
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder, **after)
        for page in _iterate_pages(pages):
            for found in page.get("Contents", []):
                blob_id = uuid_or_none(found["Key"].removeprefix(folder))
                if blob_id and blob_id > last:
                    return
                if blob_id and blob_id >= first:
                    yield blob_id

    def sweep_unfinished(self, before: datetime) -> int:
        """Abort multipart uploads that were begun before a time and never completed. Returns their number."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=self._prefix)
        begun = [upload for page in _iterate_pages(pages) for upload in page.get("Uploads", [])]
        old = [upload for upload in begun if upload["Initiated"] < before]
        for upload in old:
            with _translate_errors():
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(old)

    def has_room(self, size: int) -> bool:
        """Return True: a bucket has no fixed size."""
        return True

    def _key(self, name: BlobName) -> str:
        return f"{self._prefix}{name.ring}/{name.blob_id}"


@cache
def s3_client(endpoint: str, region: str, *, signed: bool = True) -> "BaseClient":
    """Return the client of an S3 server, one per process. An empty `endpoint` selects Amazon S3.

    signed: whether requests are signed. If False, requests are anonymous."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=50,
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Blobs are authenticated by encryption. Checksums, which not every server supports, add nothing.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **({} if signed else {"signature_version": UNSIGNED}),
    )
    # A new session: boto3's default session is not thread-safe.
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint or None, region_name=region or "us-east-1", config=config
    )


def anybody_can_list(endpoint: str, region: str, bucket: str) -> bool:
    """Return True if the bucket can be listed without credentials. Raises VaultUnavailable on any other error."""
    from botocore.exceptions import ClientError

    with _translate_errors():
        try:
            s3_client(endpoint, region, signed=False).list_objects_v2(Bucket=bucket, MaxKeys=1)
        except ClientError as error:
            if _code(error) in {"AccessDenied", "403"}:
                return False
            raise
    return True


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate every error of boto3 into VaultUnavailable."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise VaultUnavailable(f"the bucket returned an error: {_code(error)}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise VaultUnavailable(f"the bucket is unreachable: {type(error).__name__}") from error


def _code(error: "Exception") -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", "nothing"))


def _iterate_pages(pages: Iterable[_Page]) -> Iterator[_Page]:
    """Yield the pages, fetching each one inside `_translate_errors`."""
    fetching = iter(pages)
    while True:
        with _translate_errors():
            page = next(fetching, None)
        if page is None:
            return
        yield page


class _Upload(io.RawIOBase):
    """A readable file over chunks. Empty chunks are skipped, because an empty read means the end of the file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = chunk
        count = min(len(into), len(self._left))
        into[:count], self._left = self._left[:count], self._left[count:]
        return count


class _Download(io.RawIOBase):
    """The body of a response as a file.

    If the connection breaks, reading raises VaultUnavailable instead of reporting the end of the file."""

    def __init__(self, body: "BinaryIO") -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]
        with _translate_errors():
            data = self._body.read(len(into))
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        with closing(self._body):
            super().close()
