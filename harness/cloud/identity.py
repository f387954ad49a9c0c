"""Who makes a request: access keys that stand for a function or an execution."""

from __future__ import annotations

import base64
import hashlib

from harness.cloud.service import USER, Caller


class Identities:
    """Hands out access keys and recognises them.

    A key is made from its caller's name alone, so that it is the same in every run; it opens nothing, since
    signatures are not verified.
    """

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}

    def identify(self, caller: Caller) -> tuple[str, str]:
        """(access key id, secret access key) for a caller."""
        digest = hashlib.sha256(repr((caller.kind, caller.name, caller.role)).encode()).digest()
        key = "ASIA" + base64.b32encode(digest[:10]).decode()  # temporary credentials begin with ASIA
        self._callers[key] = caller
        return key, base64.b64encode(digest[:30]).decode()

    def caller_of(self, access_key: str | None) -> Caller:
        """Whose access key this is; anybody's else is a user's."""
        return self._callers.get(access_key, USER) if access_key else USER
