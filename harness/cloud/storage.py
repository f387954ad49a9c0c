"""S3 without the protocol: objects straight in moto's S3 backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from harness.cloud.errors import ServiceError


class S3Storage:
    """`harness.cloud.service.Storage` on the buckets that the S3 API shows.

    Objects put here look, through the API, like objects put through it.

    Args:
        backend: moto's S3 backend, loaded when first asked for.
    """

    def __init__(self, backend: Callable[[], Any]) -> None:
        self._backend = backend

    def list(self, bucket: str, prefix: str = "") -> list[tuple[str, int]]:
        return [(name, key.size) for name, key in self._objects(bucket, prefix)]

    def versions(self, bucket: str, prefix: str = "") -> dict[str, Hashable]:
        """By key, what tells one version of an object under a prefix from another, even of the same content.

        Raises:
            ServiceError: NoSuchBucket.
        """
        return {name: (key.etag, key.last_modified) for name, key in self._objects(bucket, prefix)}

    def get(self, bucket: str, key: str) -> bytes:
        found = self._bucket(bucket).keys.get(key)
        if not _is_object(found):
            raise ServiceError(
                "NoSuchKey", "The specified key does not exist.", status=404, fields={"Key": key}
            )
        content: bytes = found.value
        return content

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self._bucket(bucket)
        try:
            self._backend().put_object(bucket, key, body)
        except OSError as error:  # large objects are kept on disk
            raise ServiceError(
                "InternalError", f"The object could not be stored: {error}", status=500
            ) from error

    def delete(self, bucket: str, key: str) -> None:
        self._bucket(bucket)
        self._backend().delete_object(bucket, key)

    def _objects(self, bucket: str, prefix: str) -> Iterator[tuple[str, Any]]:
        keys = self._bucket(bucket).keys
        # A snapshot: other threads may be adding objects.
        names = sorted(name for name in tuple(dict.keys(keys)) if name.startswith(prefix))
        found = ((name, keys.get(name)) for name in names)
        return ((name, key) for name, key in found if _is_object(key))

    def _bucket(self, name: str) -> Any:
        from moto.s3.exceptions import MissingBucket

        try:
            return self._backend().get_bucket(name)
        except MissingBucket:
            raise ServiceError(
                "NoSuchBucket",
                "The specified bucket does not exist",
                status=404,
                fields={"BucketName": name},
            ) from None


def _is_object(key: Any) -> bool:
    """Not a delete marker, nor absent."""
    return hasattr(key, "size")
