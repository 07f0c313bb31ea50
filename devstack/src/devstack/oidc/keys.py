"""The signing keys: made once, kept in a file that only its owner can read, newest first."""

import json
import os
import threading
from pathlib import Path

from joserfc.jwk import KeySet, RSAKey

ALGORITHM = "RS256"
_KEYS_PUBLISHED = 3


class KeyRing:
    """Signs with the newest key and publishes the last few, so that tokens outlive a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        if path.exists():
            self._keys = [RSAKey.import_key(key) for key in json.loads(path.read_text())["keys"]]
        else:
            self._keys = [_new_key()]
            self._save()

    @property
    def current(self) -> RSAKey:
        return self._keys[0]

    def public(self) -> dict[str, object]:
        """The JWKS as relying parties fetch it."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in self._keys]}

    def verification(self) -> KeySet:
        return KeySet(list(self._keys))

    def rotate(self) -> str:
        """A new key signs from now on; the former ones stay published. Returns the new key's id."""
        with self._lock:
            self._keys = [_new_key(), *self._keys][:_KEYS_PUBLISHED]
            self._save()
        return str(self.current.kid)

    def _save(self) -> None:
        body = json.dumps({"keys": [key.as_dict(private=True) for key in self._keys]})
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        # Created with its final mode: the keys are never readable by others, not even for a moment.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def _new_key() -> RSAKey:
    key = RSAKey.generate_key(2048, parameters={"alg": ALGORITHM}, private=True)
    key.ensure_kid()
    return key
