"""The service as a process: who gets in, what browsers may, what is noted, what is never told."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

import graphsvc
from graphsvc.errors import Forbidden, NotFound
from graphsvc.service.keys import FILE, Keys, RoleName

from .conftest import serving

SECRET = "a-secret-that-is-shared-and-long-enough"
JWT = {"GRAPHSVC_SERVICE_JWT_SECRET": SECRET, "GRAPHSVC_SERVICE_JWT_AUDIENCE": "memory", "GRAPHSVC_SERVICE_JWT_ISSUER": "issuer"}
TEXT = "walrus"
"""Stands in texts and parameters, which no log may have."""


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def key(directory: Path, name: str, role: RoleName, namespaces: list[str] | None, **options: Any) -> str:
    if not (directory / "graphsvc.json").exists():
        graphsvc.open(directory, embedder="hashing").close()
    return Keys(directory / FILE).create(name, role, namespaces, now(), **options)[1]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def cypher(url: str, text: str | None = None, **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/cypher", json={"query": "RETURN 1", **body}, headers=bearer(text) if text else {}, timeout=30)


def token(**claims: Any) -> str:
    made = {"sub": "ada", "aud": "memory", "iss": "issuer", "exp": time.time() + 60, "role": "reader", "namespaces": "*", **claims}
    return jwt.encode(made, SECRET, "HS256")


def test_an_address_that_others_reach_is_not_served_without_authentication(tmp_path: Path) -> None:
    graphsvc.open(tmp_path / "m", embedder="hashing").close()
    words = [sys.executable, "-m", "graphsvc", "serve", str(tmp_path / "m"), "--host", "0.0.0.0", "--port", "0", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    told = json.loads(done.stderr.splitlines()[-1])["error"]
    assert "nothing says who may call" in told["what"]
    assert "graphsvc keys create" in told["hint"]


def test_keys_and_tokens_let_in_as_far_as_they_reach_from_when_they_are_made_until_they_are_revoked(tmp_path: Path) -> None:
    memory, log, audit = tmp_path / "m", tmp_path / "log", tmp_path / "audit"
    reader = key(memory, "reader", "reader", None)
    with serving(memory, "--audit-file", str(audit), log=log, **JWT) as url:
        keys = Keys(memory / FILE)
        # Without a key nothing but that it lives.
        assert httpx.get(f"{url}/health").status_code == 200
        for path in ("/ready", "/metrics", "/nowhere", "/"):
            refused = httpx.get(url + path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), path
        assert cypher(url).status_code == 401
        assert httpx.post(f"{url}/mcp", json={}).status_code == 401
        for header in ("", "Bearer", f"Basic {reader}", reader, f"Bearer {reader[:-1]}", "Bearer a.b.c", "Bearer \xff"):
            assert httpx.get(f"{url}/ready", headers={"Authorization": header.encode("latin-1")}).status_code == 401, header  # type: ignore[dict-item]
        assert httpx.get(f"{url}/ready?key={reader}").status_code == 401
        # A reader of all reads all, and writes nothing.
        assert cypher(url, reader).json()["rows"] == [[1]]
        assert httpx.get(f"{url}/metrics", headers=bearer(reader)).status_code == 200
        assert cypher(url, reader, query="CREATE NODE TABLE T (id STRING PRIMARY KEY)", write=True).status_code == 403
        # A key that is made while it runs holds at once, one of a namespace as far as that goes.
        bound, writer = key(memory, "bound", "admin", ["a"]), key(memory, "writer", "writer", None)
        assert httpx.get(f"{url}/ready", headers=bearer(bound)).status_code == 200
        assert (cypher(url, bound).status_code, cypher(url, bound).json()["error"]["code"]) == (403, "forbidden")
        assert httpx.get(f"{url}/metrics", headers=bearer(bound)).status_code == 403
        assert cypher(url, writer, query="CREATE NODE TABLE T (id STRING PRIMARY KEY)", write=True).status_code == 200
        made = cypher(url, writer, query="CREATE (:T {id: $id})", params={"id": TEXT}, write=True)
        assert made.status_code == 200, made.text
        # Tokens do, too.
        assert cypher(url, token()).status_code == 200
        assert cypher(url, token(namespaces=["a"])).status_code == 403
        assert cypher(url, token(exp=time.time() - 120)).status_code == 401
        # Rotated and revoked, within a second.
        _, rotated = keys.rotate("reader", now())
        assert cypher(url, reader).status_code == 401
        assert cypher(url, rotated).status_code == 200
        keys.revoke("reader", now())
        assert cypher(url, rotated).status_code == 401
        bad = cypher(url, writer, query=f"RETURN '{TEXT}' +")
        assert bad.status_code == 400
    # Who did what is noted, texts and keys aren't, in no output of any process.
    told, noted = log.read_text(), audit.read_text()
    assert audit.stat().st_mode & 0o777 == 0o600
    entries = [json.loads(line) for line in noted.splitlines()]
    assert {("reader", "forbidden"), ("bound", "forbidden"), ("writer", "done"), ("ada", "done")} <= {
        (entry["caller"], entry["outcome"]) for entry in entries
    }
    assert {entry["identity"] for entry in entries} >= {"issuer#ada", keys.find(writer, now()).id}  # type: ignore[union-attr]
    assert any(entry["statement"] == "CREATE (:T {id: $id})" and len(entry["sha256"]) == 64 for entry in entries)
    for secret in (reader, rotated, bound, writer, SECRET):
        assert secret.rpartition("_")[2] not in told + noted
    assert "eyJ" not in told + noted
    assert TEXT not in told
    assert "params" not in noted


def test_a_write_is_noted_with_its_ids_and_not_its_texts(tmp_path: Path) -> None:
    import asyncio

    from graphsvc.service.access import Caller
    from graphsvc.service.audit import Audit
    from graphsvc.service.gate import Gate
    from graphsvc.service.operations import Role

    async def main() -> None:
        async with graphsvc.aopen(tmp_path / "m", embedder="hashing") as memory:
            gate = Gate(memory)
            audit = Audit(gate, str(tmp_path / "audit"))
            caller = Caller("ada", Role.WRITER, ("a", "b"), identity="k1")
            first = await gate.call(caller, "episodes.store", session=TEXT, task=TEXT, output=TEXT, critique=TEXT, tags=[TEXT])
            many = await gate.call(caller, "episodes.store_many", [{"session": "s", "task": TEXT}] * 3, agent_bound="b")
            await gate.call(caller, "episodes.amend", first.id, critique=TEXT)
            await gate.call(caller, "episodes.retrieve", TEXT)
            with pytest.raises(NotFound):
                await gate.call(caller, "skills.revise", "none", code=TEXT)
            with pytest.raises(Forbidden):
                await gate.call(caller, "forget", [first.id])
            left = asyncio.create_task(gate.call(caller, "episodes.amend", first.id, output=TEXT))
            await asyncio.sleep(0)
            left.cancel()  # who asked has gone, or was cut off
            with pytest.raises(asyncio.CancelledError):
                await left
            audit.close()
            entries = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
            shown = [(each["operation"], each["namespace"], each["ids"], each["outcome"]) for each in entries]
            assert shown == [
                ("episodes.store", "a", [first.id], "done"),
                ("episodes.store_many", "b", [episode.id for episode in many], "done"),
                ("episodes.amend", "a", [first.id], "done"),
                ("skills.revise", "a", ["none"], "not_found"),
                ("forget", None, [first.id], "forbidden"),
                ("episodes.amend", "a", [first.id], "cancelled"),
            ]
            assert TEXT not in (tmp_path / "audit").read_text()
            assert {each["caller"] for each in entries} == {"ada"}

    asyncio.run(main())


def test_the_page_is_shown_to_anybody_and_tells_nothing_without_a_key(tmp_path: Path) -> None:
    with serving(tmp_path / "m", "--authentication", "required") as url:
        html = {"Accept": "text/html,*/*;q=0.8"}
        assert "/graphql/assets/boot.js" in httpx.get(f"{url}/graphql", headers=html).text
        assert httpx.get(f"{url}/graphql/assets/boot.js").status_code == 200
        asking = {"query": "{ __schema { queryType { name } } }"}
        for refused in (
            httpx.get(f"{url}/graphql", params=asking, headers=html), httpx.get(f"{url}/graphql"),
            httpx.post(f"{url}/graphql", json=asking, headers=html), httpx.post(f"{url}/graphql/assets/boot.js"),
            httpx.get(f"{url}/graphql/", headers=html), httpx.get(f"{url}/cypher", headers=html),
        ):  # fmt: skip
            assert refused.status_code == 401, refused.url
            assert refused.json()["error"]["code"] == "unauthenticated"
    with serving(tmp_path / "m", "--authentication", "required", GRAPHSVC_SERVICE_GRAPHIQL="false") as url:
        assert httpx.get(f"{url}/graphql", headers=html).status_code == 401
        assert httpx.get(f"{url}/graphql/assets/boot.js").status_code == 401


def test_pages_of_others_can_have_nothing_done_on_an_open_service(tmp_path: Path) -> None:
    with serving(tmp_path / "m", "--cors-origins", "https://app.example") as url:
        port = url.rpartition(":")[2]

        def asked(method: str = "POST", path: str = "/cypher", **headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return httpx.request(method, url + path, headers=named, json={"query": "RETURN 1"} if method == "POST" else None)

        assert asked().status_code == 200
        assert asked(Origin=url, Sec_Fetch_Site="same-origin").status_code == 200
        assert asked(Origin=f"http://localhost:{port}", Host=f"localhost:{port}").status_code == 200
        for headers in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": f"http://localhost:{port}"}, {"Origin": "http://127.0.0.1:1"},
            {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Host": "evil.example"}, {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1.nip.io"}, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        ):  # fmt: skip
            assert asked(**headers).status_code == 403, headers
        assert asked(Host="").status_code == 400
        assert asked(Origin="http://[").status_code == 403
        assert asked("GET", "/ready", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status_code == 403
        assert asked("GET", "/ready", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 200
        # The page that is named may, and no other gets to know anything.
        preflight = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization, content-type, x-graphsvc-agent, graphsvc-again"}
        allowed = asked("OPTIONS", Origin="https://app.example", Sec_Fetch_Site="cross-site", **preflight)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in allowed.headers
        answer = asked(Origin="https://app.example", Sec_Fetch_Site="cross-site")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
        refused = asked("OPTIONS", Origin="https://evil.example", **preflight)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        # A WebSocket is opened by a page as easily as a request is made.
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
        assert asked("GET", "/graphql", Origin="https://evil.example", **upgrade).status_code == 403
        # What every answer has, refusals too.
        for response in (asked(), asked(Host="evil.example"), asked("GET", "/nowhere"), asked("PUT")):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert "server" not in response.headers


def test_without_the_setting_no_page_of_others_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path / "m") as url:
        for origin in ("https://app.example", "null", "http://localhost"):
            refused = httpx.options(f"{url}/cypher", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert refused.status_code == 403
            assert not [name for name in refused.headers if name.startswith("access-control")]


# --- TLS ------------------------------------------------------------------------------------------------


def certificate(folder: Path, password: bytes = b"") -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now() - datetime.timedelta(days=1))
        .not_valid_after(now() + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))
    return paths


@contextmanager
def serving_tls(directory: Path, *options: str, **environment: str) -> Iterator[str]:
    """As `serving`, which looks with plain HTTP whether it is ready."""
    from .conftest import free_port

    graphsvc.open(directory, embedder="hashing").close()
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "graphsvc", "serve", str(directory), "--port", str(port), *options],
        env={**__import__("os").environ, **environment},
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"https://127.0.0.1:{port}/health", verify=False, timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None
                time.sleep(0.05)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_https_is_spoken_from_the_version_on_that_is_set_with_a_key_that_has_a_password(tmp_path: Path) -> None:
    cert, private = certificate(tmp_path, b"swordfish")
    (tmp_path / "password").write_text("swordfish\n")
    options = ("--tls-cert-file", str(cert), "--tls-key-file", str(private))
    with serving_tls(tmp_path / "m", *options, GRAPHSVC_SERVICE_TLS_KEY_PASSWORD_FILE=str(tmp_path / "password"), GRAPHSVC_SERVICE_TLS_MINIMUM="1.3") as url:
        trusting = ssl.create_default_context(cafile=str(cert))
        answer = httpx.get(f"{url}/ready", verify=trusting)
        assert answer.status_code == 200
        assert re.match(r"max-age=\d+", answer.headers["strict-transport-security"])
        older = ssl.create_default_context(cafile=str(cert))
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/ready", verify=older)
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http") + "/ready")


def test_a_certificate_that_cant_be_used_is_said_before_anything_is_served(tmp_path: Path) -> None:
    from graphsvc.config import ServiceSettings
    from graphsvc.errors import BadInput
    from graphsvc.service.tls import context

    cert, private = certificate(tmp_path, b"swordfish")
    for values in (
        {"tls_cert_file": str(cert)}, {"tls_key_file": str(private)}, {"tls_cert_file": str(cert), "tls_key_file": str(private)},
        {"tls_cert_file": str(cert), "tls_key_file": str(private), "tls_key_password": "other"},
        {"tls_cert_file": str(tmp_path / "none"), "tls_key_file": str(private)}, {"tls_cert_file": str(private), "tls_key_file": str(cert)},
    ):  # fmt: skip
        with pytest.raises(BadInput, match=r"can't be used|is missing") as caught:
            context(ServiceSettings(**values))
        assert "swordfish" not in str(caught.value)
    made = context(ServiceSettings(tls_cert_file=str(cert), tls_key_file=str(private), tls_key_password="swordfish"))
    assert made is not None
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
