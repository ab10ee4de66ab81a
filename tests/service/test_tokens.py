"""Tokens: by whom, for whom, for how long; what they may be signed with hangs on our key."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from graphsvc.config import ServiceSettings
from graphsvc.errors import BadInput, Corrupt, Unauthenticated
from graphsvc.service.authentication import Authenticator
from graphsvc.service.operations import Role
from graphsvc.service.tokens import Tokens

SECRET = "0123456789abcdef0123456789abcdef"
ABOUT = {"jwt_audience": "memory", "jwt_issuer": "https://issuer.example"}
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


FOREIGN = [
    {"kty": "OKP", "crv": "X25519", "x": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}, {"kty": "EC", "crv": "P-192", "x": "AA", "y": "AA"},
    {"kty": "RSA", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
]  # fmt: skip
"""Keys that aren't for signatures, or of curves that aren't known here: they stand beside others in an issuer's file."""


def claims(**changes: Any) -> dict[str, Any]:
    now = time.time()
    made = {"sub": "ada", "aud": "memory", "iss": "https://issuer.example", "exp": now + 60, "nbf": now - 1, "role": "writer",
            "namespaces": ["a", "b"], **changes}  # fmt: skip
    return {name: value for name, value in made.items() if value is not ...}


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public(tmp_path: Path, key: Any, **more: Any) -> Tokens:
    path = tmp_path / "public.pem"
    path.write_bytes(pem(key))
    return Tokens(ServiceSettings(jwt_key_file=str(path), **ABOUT, **more))


def shared(**more: Any) -> Tokens:
    return Tokens(ServiceSettings(jwt_secret=SECRET, **ABOUT, **more))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_token_signed_by_the_issuers_key_says_who_calls(tmp_path: Path, key: Any, algorithm: str) -> None:
    caller = public(tmp_path, key).caller(jwt.encode(claims(), key, algorithm))
    assert (caller.name, caller.role, caller.namespaces) == ("ada", Role.WRITER, ("a", "b"))
    assert caller.identity == "https://issuer.example#ada"


def test_a_shared_secret_does_too_from_a_file_as_well(tmp_path: Path) -> None:
    text = jwt.encode(claims(namespaces="*", role="admin"), SECRET, "HS256")
    assert shared().caller(text).namespaces is None
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    known = Authenticator(tmp_path, ServiceSettings(jwt_secret_file=str(path), **ABOUT))
    assert known.required
    assert known.authenticate(text).role is Role.ADMIN


@pytest.mark.parametrize("change", [
    {"exp": 1}, {"exp": ...}, {"exp": "soon"}, {"nbf": 1 << 34}, {"aud": "other"}, {"aud": ...}, {"iss": "https://evil.example"},
    {"iss": ...}, {"sub": ...}, {"sub": ""}, {"sub": 7}, {"sub": "a\nb"}, {"role": ...}, {"role": "root"}, {"role": "ADMIN"}, {"role": ["admin"]},
    {"namespaces": ...}, {"namespaces": []}, {"namespaces": "a"}, {"namespaces": [1]}, {"namespaces": [""]}, {"namespaces": None},
    {"namespaces": {"a": 1}},
], ids=str)  # fmt: skip
def test_a_token_that_doesnt_say_all_of_it_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        shared().caller(jwt.encode(claims(**change), SECRET, "HS256"))


def test_a_token_can_be_signed_with_nothing_else_than_what_fits_our_key(tmp_path: Path) -> None:
    tokens = public(tmp_path, RSA)
    unsigned = jwt.encode(claims(), None, "none")
    other = jwt.encode(claims(), OTHER_RSA, "RS256")
    longer = jwt.encode(claims(), RSA, "RS512")
    # The public key taken for a shared secret: whoever has it could sign.
    import base64
    import hashlib
    import hmac

    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "typ": "JWT"}, claims()))
    signature = base64.urlsafe_b64encode(hmac.new(pem(RSA), head + b"." + body, hashlib.sha256).digest()).rstrip(b"=")
    confused = b".".join((head, body, signature)).decode()
    cut = jwt.encode(claims(), RSA, "RS256").rpartition(".")[0] + "."
    for text in (unsigned, other, longer, confused, cut, "a.b.c", "", "..", "é"):
        with pytest.raises(Unauthenticated):
            tokens.caller(text)
    assert public(tmp_path, RSA, jwt_algorithms="RS512, PS256").caller(longer)
    with pytest.raises(Unauthenticated):
        public(tmp_path, RSA, jwt_algorithms="RS512").caller(jwt.encode(claims(), RSA, "RS256"))
    with pytest.raises(BadInput, match="fits"):
        public(tmp_path, RSA, jwt_algorithms="HS256,none")


def jwks(*keys: tuple[str, Any]) -> str:
    made = []
    for kid, key in keys:
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        made.append({**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"})
    return json.dumps({"keys": [*made, {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, {"kty": "RSA", "use": "enc"}, *FOREIGN]})


def test_keys_of_an_issuer_are_taken_by_their_id_and_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks(("one", RSA), ("two", EC)))
    tokens = Tokens(ServiceSettings(jwt_key_file=str(path), **ABOUT))
    one = jwt.encode(claims(), RSA, "RS256", headers={"kid": "one"})
    assert tokens.caller(one)
    assert tokens.caller(jwt.encode(claims(), EC, "ES256", headers={"kid": "two"}))
    assert tokens.caller(jwt.encode(claims(), EC, "ES256"))
    for text in (jwt.encode(claims(), RSA, "RS256", headers={"kid": "two"}), jwt.encode(claims(), "secret" * 8, "HS256", headers={"kid": "shared"})):
        with pytest.raises(Unauthenticated):
            tokens.caller(text)
    path.write_text(jwks(("three", OTHER_RSA)))
    with pytest.raises(Unauthenticated):
        tokens.caller(one)
    assert tokens.caller(jwt.encode(claims(), OTHER_RSA, "RS256", headers={"kid": "three"}))


def test_settings_that_leave_something_open_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(pem(RSA))
    for settings, what in (
        ({"jwt_secret": SECRET, "jwt_issuer": "i"}, "jwt_audience"),
        ({"jwt_secret": SECRET, "jwt_audience": "a"}, "jwt_issuer"),
        ({"jwt_secret": "short", **ABOUT}, "32 bytes"),
        ({"jwt_secret": SECRET, "jwt_key_file": str(path), **ABOUT}, "either"),
        ({"jwt_secret": SECRET, "jwt_secret_file": str(path), **ABOUT}, "itself and as a file"),
        ({"jwt_secret_file": str(tmp_path / "none"), **ABOUT}, "can't be read"),
        ({"jwt_key_file": str(tmp_path / "none"), **ABOUT}, "can't be read"),
    ):
        with pytest.raises(BadInput, match=what):
            Authenticator(tmp_path, ServiceSettings(**settings))


def test_what_is_no_public_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    private = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    weak = pem(rsa.generate_private_key(65537, 1024))
    for content in (private, b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', b"secret", b"", weak):
        path.write_bytes(content)
        with pytest.raises((BadInput, Corrupt)) as caught:
            Tokens(ServiceSettings(jwt_key_file=str(path), **ABOUT))
        assert "c2VjcmV0" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_secret_is_not_in_the_settings_words(tmp_path: Path) -> None:
    assert SECRET not in repr(ServiceSettings(jwt_secret=SECRET))
    with pytest.raises(BadInput) as caught:
        ServiceSettings(jwt_secret=1234567)
    assert "1234567" not in str(caught.value)
