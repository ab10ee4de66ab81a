"""JSON Web Tokens (RFC 7519): who an issuer that is trusted says a caller is, and what it may.

What a token may be signed with hangs on our key, never on what the token says of itself: a public key is never taken
for a shared secret, and `none` is no algorithm (RFC 8725).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from graphsvc.config import ServiceSettings, listed, secret, whole_path
from graphsvc.errors import BadInput, Corrupt, GraphsvcError, Unauthenticated
from graphsvc.model.names import check_name
from graphsvc.service.access import Caller
from graphsvc.service.operations import Role

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
SHARED = ("HS256", "HS384", "HS512")
SECRET_BYTES = 32
"""The least that a shared secret must have: as long as the hash (RFC 7518, 3.2)."""
KEYS = 32
"""Keys of a JWKS at most; a token without `kid` is tried with each."""
RSA_BITS = 2048

Checked = tuple[str | None, Any, tuple[str, ...]]
"""A key's id, the key, and the algorithms that a token may be signed with to be checked by it."""


class Tokens:
    """Checks tokens by the settings.

    Raises:
        BadInput: settings that don't say what a token must be.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._pinned = listed(settings.jwt_algorithms)
        for name in ("jwt_audience", "jwt_issuer"):
            if not getattr(settings, name):
                raise BadInput(
                    "must be set where tokens are taken", where=name,
                    hint="Else a token that was issued for something else would do.",
                )  # fmt: skip
        self._path = whole_path(settings.jwt_key_file, "jwt_key_file") if settings.jwt_key_file else None
        self._seen: tuple[int, int, int] | None = None
        shared = secret(settings, "jwt_secret")
        if bool(shared) == bool(self._path):
            raise BadInput("expected either a public key or a shared secret", where="jwt_key_file, jwt_secret")
        if shared and len(shared.encode()) < SECRET_BYTES:
            raise BadInput(f"has less than {SECRET_BYTES} bytes", where="jwt_secret")
        self._keys: list[Checked] = [(None, shared.encode(), self._allowed(SHARED))] if shared else []
        self._current()

    @staticmethod
    def wanted(settings: ServiceSettings) -> bool:
        """Whether the settings say anything of tokens."""
        return bool(settings.jwt_key_file or settings.jwt_secret or settings.jwt_secret_file)

    def caller(self, text: str) -> Caller:
        """Who a token stands for.

        Raises:
            Unauthenticated: it isn't valid, or doesn't say what its bearer may.
        """
        try:
            kid = jwt.get_unverified_header(text).get("kid")
        except jwt.InvalidTokenError:
            raise Unauthenticated("no such key, and no token") from None
        for id, key, algorithms in self._current():
            if kid is not None and id is not None and kid != id:
                continue
            try:
                claims = jwt.decode(
                    text, key, algorithms=list(algorithms), audience=self._settings.jwt_audience,
                    issuer=self._settings.jwt_issuer, leeway=self._settings.jwt_leeway,
                    options={"require": ["exp", "sub", "aud", "iss"]},
                )  # fmt: skip
            except jwt.ExpiredSignatureError:
                raise Unauthenticated("the token has expired") from None
            except jwt.InvalidTokenError:
                continue
            return self._as_caller(claims)
        raise Unauthenticated("the token isn't valid here")

    def _as_caller(self, claims: dict[str, Any]) -> Caller:
        role, namespaces = (
            claims.get(name) for name in (self._settings.jwt_role_claim, self._settings.jwt_namespaces_claim)
        )
        if role not in ("reader", "writer", "admin"):
            raise Unauthenticated("the token gives no role", where=self._settings.jwt_role_claim)
        try:
            subject = check_name(claims["sub"], "sub")
            if namespaces == "*":
                names = None
            elif isinstance(namespaces, list) and namespaces:
                names = tuple(dict.fromkeys(check_name(name, "namespace") for name in namespaces))
            else:
                raise Unauthenticated("the token gives no namespaces", where=self._settings.jwt_namespaces_claim)
        except BadInput:
            raise Unauthenticated("the token names something that can't be a name") from None
        return Caller(subject, Role[role.upper()], names, identity=f"{claims['iss']}#{subject}")

    # --- keys ------------------------------------------------------------------------------------------------

    def _current(self) -> list[Checked]:
        """The keys, as their file has them now: an issuer's keys change while the service runs."""
        if self._path is None:
            return self._keys
        try:
            status = os.stat(self._path)
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._keys, self._seen = self._read(self._path.read_bytes()), seen
        except OSError as error:
            raise BadInput(f"can't be read ({error.strerror})", where="jwt_key_file") from None
        return self._keys

    def _read(self, data: bytes) -> list[Checked]:
        wrong = Corrupt("is neither a public key (PEM) nor keys (JWKS)", where="jwt_key_file")
        try:
            if not data.lstrip().startswith(b"{"):
                return [(None, *self._usable(load_pem_public_key(data)))]
            told = json.loads(data)
            found: list[Checked] = []
            for one in told["keys"]:
                # Others may stand beside ours: for encryption, or of kinds that aren't for signatures.
                if one.get("use", "sig") == "sig" and one.get("kty") in ("RSA", "EC", "OKP"):
                    with contextlib.suppress(BadInput, jwt.PyJWTError):
                        found.append((one.get("kid"), *self._usable(jwt.PyJWK(one).key)))
        except GraphsvcError:
            raise
        except Exception:  # what it was may quote the key
            raise wrong from None
        if not found:
            raise wrong
        return found[:KEYS]

    def _usable(self, key: Any) -> tuple[Any, tuple[str, ...]]:
        """A public key, and what a token that it checks may be signed with."""
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
            return key, self._allowed(RSA)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
            return key, self._allowed((CURVES[key.curve.name],))
        if isinstance(key, ed25519.Ed25519PublicKey):
            return key, self._allowed(("EdDSA",))
        raise BadInput(
            f"expected a public key: RSA of {RSA_BITS} bits or more, a NIST curve, or Ed25519", where="jwt_key_file"
        )

    def _allowed(self, fitting: tuple[str, ...]) -> tuple[str, ...]:
        """Those algorithms that fit the key and that the settings allow; without settings the key's first."""
        if not self._pinned:
            return fitting[:1]
        allowed = tuple(name for name in self._pinned if name in fitting)
        if not allowed:
            raise BadInput(f"none of {', '.join(self._pinned)} fits the key", where="jwt_algorithms")
        return allowed
