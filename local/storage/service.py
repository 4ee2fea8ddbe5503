"""Object storage: s3:// URIs, and the few requests that jobs need, to any service that speaks S3.

Where the service is and who asks is boto3's to find out, from the usual variables and files.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recordio.errors import PlatformError, UserError

SCHEME = "s3://"
MOST_OBJECTS = 2_000_000  # of a channel; the list of them is held in memory
MOST_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Uri:
    """A place in storage: an object, a prefix of object keys, or a whole bucket."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises UserError for what is no s3:// URI with a bucket."""
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not text.startswith(SCHEME) or not bucket:
            raise UserError(f"got '{_printable(text[:200])}', expected {SCHEME}BUCKET/KEY")
        try:
            text.encode()
        except UnicodeEncodeError:  # half a character of JSON, or bytes of a command line
            raise UserError(f"got '{_printable(text[:200])}', expected text in UTF-8") from None
        return cls(bucket, key)

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    def below(self, name: str) -> Uri:
        folder = self.key.rstrip("/")
        return Uri(self.bucket, f"{folder}/{name}" if folder else name)

    def __str__(self) -> str:
        return f"{SCHEME}{_printable(f'{self.bucket}/{self.key}')}"


Place = Path | Uri


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in storage.

    name   where it stands in its channel's folder
    size   in bytes; None for an object that has only been named, by a manifest
    etag   of the content that was found; None likewise
    """

    uri: Uri
    name: str
    size: int | None = None
    etag: str | None = None

    def __str__(self) -> str:
        return str(self.uri)


@functools.cache
def client() -> Any:
    """The client of boto3; raises UserError where boto3 is missing."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UserError(f"{SCHEME} URIs need boto3: install it with pip install 'onepass[local]'") from None
    try:
        return boto3.Session().client("s3", config=Config(max_pool_connections=MOST_CONNECTIONS))
    except (BotoCoreError, ValueError) as error:  # a profile or an endpoint that can't be
        raise UserError(f"{SCHEME} URIs can't be used: {error}") from error


def objects_below(prefix: Uri) -> list[Stored]:
    """Every object whose key begins so, in the order of keys.

    A key is named by what comes after the folder that the prefix is or that it ends in. Empty objects that stand for
    folders are left out. Raises UserError when there is none.
    """
    folder = prefix.key if prefix.key.endswith("/") or not prefix.key else f"{prefix.key}/"
    above = prefix.key.rpartition("/")[0]
    above = f"{above}/" if above else ""
    found = []
    with told(prefix):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
        for page in pages:
            for item in page.get("Contents", ()):
                key, size = item["Key"], item["Size"]
                if size or not key.endswith("/"):
                    name = key.removeprefix(folder if key.startswith(folder) else above)
                    found.append(Stored(Uri(prefix.bucket, key), name, size, item.get("ETag")))
            if len(found) > MOST_OBJECTS:
                raise UserError(f"{prefix}: got more than {MOST_OBJECTS} objects; use a longer prefix")
    if not found:
        raise UserError(f"{prefix}: no object has a key that begins so")
    return sorted(found, key=lambda item: item.uri.key)


def one_object(uri: Uri) -> Stored:
    """The object of exactly this key; raises UserError when there is none."""
    with told(uri):
        answer = client().head_object(Bucket=uri.bucket, Key=uri.key)
        return Stored(uri, uri.name, answer["ContentLength"], answer.get("ETag"))


def check_writable(uri: Uri) -> None:
    """Raise UserError unless an object could be put there. Leaves nothing behind: an upload begins and is given up."""
    with told(uri):
        begun = client().create_multipart_upload(Bucket=uri.bucket, Key=uri.key)
        with contextlib.suppress(Exception):  # whoever may not do this may still put objects
            client().abort_multipart_upload(Bucket=uri.bucket, Key=uri.key, UploadId=begun["UploadId"])


def upload(path: Path, uri: Uri) -> None:
    with told(uri):
        client().upload_file(str(path), uri.bucket, uri.key)


@contextlib.contextmanager
def told(what: object) -> Iterator[None]:
    """Errors of boto3 in our words: UserError for what was asked, PlatformError for a service in trouble."""
    try:
        yield
    except Exception as error:
        if not foreign(error):
            raise
        raise reworded(error, what) from error


def reworded(error: Exception, what: object) -> UserError | PlatformError:
    from boto3.exceptions import S3UploadFailedError
    from botocore import exceptions

    if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, exceptions.ClientError):
        error = error.__context__
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return UserError(
            f"{what}: no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if broken(error):
        return PlatformError(f"{what}: the storage is in trouble or can't be reached: {error}")
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    match status(error):
        case 404:
            missing = "the bucket" if code == "NoSuchBucket" else "it"
            return UserError(f"{what}: {missing} does not exist")
        case 401 | 403:
            return UserError(f"{what}: access is denied ({code}); check the credentials and what they permit")
    return UserError(f"{what}: {' '.join(str(error).split())}")


def foreign(error: Exception) -> bool:
    """Whether it comes from boto3 or what that builds on."""
    return type(error).__module__.startswith(("boto", "s3transfer", "urllib3"))


def broken(error: Exception) -> bool:
    """Whether the same request may go well in a while."""
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    kinds = (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError, HTTPError)
    return isinstance(error, kinds) or status(error) >= 500 or status(error) == 429


def status(error: Any) -> int:
    """The HTTP status that an error of the client tells; 0 for none."""
    found: int = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return found


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
