"""The text of a key: `pm-<public id>-<secret>`. Knows how to make, read and compare one, not where it is kept.

The secret is 256 random bits, so one SHA-256 is enough at rest: a slow password hash protects what people
choose, and nobody can search 2^256 (NIST SP 800-63B, 5.1.2.2: only look-up secrets below 112 bits need a salt
and a slow hash).
"""

import hashlib
import hmac
import re
import secrets

SECRET_BYTES = 32
ID_BYTES = 5
_SHAPE = re.compile(r"pm-([0-9a-f]{10})-([A-Za-z0-9_-]{43})")
# The digest of a secret that nobody was ever told.
NOBODYS = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).hexdigest()


def mint() -> tuple[str, str, str]:
    """A new key: (public id, the whole key, SHA-256 of its secret). The whole key is kept nowhere."""
    public, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    return public, f"pm-{public}-{secret}", digest(secret)


def split(key: str) -> tuple[str, str] | None:
    """(public id, secret); None when it does not even look like a key."""
    match = _SHAPE.fullmatch(key)
    return (match[1], match[2]) if match else None


def digest(secret: str) -> str:
    """SHA-256 of the secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, sha256: str) -> bool:
    """Whether the secret has this digest, in the same time for any answer."""
    return hmac.compare_digest(digest(secret), sha256)
