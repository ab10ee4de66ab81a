"""A thousand requests that aren't right, byte by byte over sockets: each is refused, none is a 500, none is a crash."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from .conftest import serving

REQUESTS = 1_000
SEED = 20_261_125
SECONDS = 30.0
AT_ONCE = 8
QUIET_SECONDS = 0.05
"""So long nothing comes, and the rest isn't waited for: of a request that was cut there is no rest."""

POSTED = ["/cypher", "/mcp", "/graphql", "/call/episodes.store", "/call/nothing"]

Random = random.Random


def head(rng: Random, method: str = "POST", path: str = "/cypher", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def whole(rng: Random) -> bytes:
    body = b'{"query": "RETURN 1"}'
    return head(rng, "POST", "/cypher", f"Content-Length: {len(body)}") + body


def cut(rng: Random) -> bytes:
    data = whole(rng)
    return data[: rng.randrange(1, len(data))]


def wrong_length(rng: Random) -> bytes:
    length = rng.choice(["-1", "abc", "1e3", "99999999999999999999", "5, 6", "0x10", "", "3", "100", "+4", "4\r\nContent-Length: 5"])
    return head(rng, "POST", "/cypher", f"Content-Length: {length}") + b'{"query": "RETURN 1"}'


def huge_body(rng: Random) -> bytes:
    return head(rng, "POST", "/cypher", f"Content-Length: {rng.choice([1 << 26, 1 << 40])}") + b"x" * 100


def bad_utf8(rng: Random) -> bytes:
    body = b'{"query": "' + rng.randbytes(rng.randrange(1, 60)).replace(b'"', b"") + b'"}'
    return head(rng, "POST", rng.choice(POSTED), f"Content-Length: {len(body)}") + body


def bad_json(rng: Random) -> bytes:
    body = rng.choice([b"", b"null", b"[]", b"[" * 5_000, b'{"query":' * 2_000, b'{"query": 1}', b'{"query": "RETURN 1", "x": 1}',
                       b'{"query": "RETURN \\ud800"}', b'{"query": "\\u0000"}', b'{"query": "RETURN $a", "params": {"a": 1e999}}',
                       b'{"query": "RETURN 1", "limit": -1}', b'{"query": "RETURN 1", "timeout": 1e308}', b"NaN",
                       b'{"query": "{ __typename "}', b'{"query": "{ a }", "variables": []}', b'[{"query": "{ a }"}, 1]', b"\x81\xa1a\xc1", b"\xdf\xff\xff\xff\xff"])
    return head(rng, "POST", rng.choice(POSTED), f"Content-Length: {len(body)}") + body


def huge_headers(rng: Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return head(rng, "GET", "/ready", "X: " + "a" * rng.choice([40_000, 300_000]))
    if kind == 1:
        return head(rng, "GET", "/ready", *(f"X-{n}: 1" for n in range(500)))
    if kind == 2:
        return head(rng, "GET", "/" + "a" * rng.choice([40_000, 300_000]))
    return b"GET /ready HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000


def bad_headers(rng: Random) -> bytes:
    line = rng.choice([b"No colon", b": no name", b"Bad Name: 1", b"X: \x00", b"X: a\x01b", b"X:\xff\xfe", b" folded: 1", b"Host: evil.example",
                       b"Host: localhost", b"Authorization: Basic abc", b"Authorization: Bearer " + b"x" * 9_000, b"Upgrade: h2c\r\nConnection: Upgrade",
                       b"Expect: 100-continue", b"Expect: other", b"Content-Encoding: gzip", b"Origin: null", b"Sec-Fetch-Site: cross-site",
                       b"Transfer-Encoding: gzip", b"Content-Type: \xc3\x28", b"Accept: ;;;q=x", b"X-Request-Id: \xe4"])
    return b"POST /cypher HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\nContent-Length: 2\r\n\r\n{}"


def bad_chunks(rng: Random) -> bytes:
    chunk = rng.choice([b"zz\r\nabc\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n", b"3;" + b"e" * 50_000 + b"\r\nabc\r\n0\r\n\r\n",
                        b"3\r\nabc\r\n0\r\nX: " + b"t" * 60_000 + b"\r\n\r\n", b"3\r\nabc", b"0\r\nAuthorization: Bearer x\r\n\r\n", b"3\nabc\n0\n\n"])
    extra = rng.choice(["", "Content-Length: 3"])
    return head(rng, "POST", "/cypher", "Transfer-Encoding: chunked", *filter(None, [extra])) + chunk


def pipelined(rng: Random) -> bytes:
    return b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n" * rng.choice([2, 10, 2_000]) + rng.choice([b"", b"\x00garbage\r\n\r\n"])


def bad_line(rng: Random) -> bytes:
    return rng.choice([b"", b"\r\n" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /%00%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /ready HTTP/1.0\r\n\r\n",
                       b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"get /ready http/1.1\r\nHost: localhost\r\n\r\n"])


def wrong_method(rng: Random) -> bytes:
    method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "FOO", "QUERY", "PROPFIND"])
    return head(rng, method, rng.choice(["/cypher", "/ready", "/mcp", "/graphql", "/call", "/call/stats", "/metrics", "/nowhere", "//", "/../x"]))


def noise(rng: Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 400))


def mutated(rng: Random) -> bytes:
    data = bytearray(whole(rng))
    for _ in range(rng.randrange(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def bad_upgrade(rng: Random) -> bytes:
    key = rng.choice(["", "Sec-WebSocket-Key: x", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
    version = rng.choice(["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 99", "X: 1"])
    parts = filter(None, ["Upgrade: websocket", "Connection: Upgrade", key, version])
    return head(rng, "GET", rng.choice(["/", "/graphql", "/mcp"]), *parts) + rng.randbytes(rng.randrange(0, 50))


KINDS: tuple[Callable[[Random], bytes], ...] = (
    cut, wrong_length, huge_body, bad_utf8, bad_json, huge_headers, bad_headers, bad_chunks, pipelined, bad_line, wrong_method, noise,
    mutated, bad_upgrade,
)


def answers(address: tuple[str, int], data: bytes) -> list[int]:
    """The statuses that come back for these bytes before it is quiet."""
    with socket.create_connection(address, timeout=5) as connection:
        found = b""
        try:
            connection.sendall(data)
            connection.settimeout(QUIET_SECONDS)
            while piece := connection.recv(65_536):
                found += piece
        except (ConnectionError, TimeoutError):
            pass
    return [int(status) for status in re.findall(rb"(?m)^HTTP/1\.1 (\d{3})", found)]


def test_a_thousand_malformed_requests_are_refused_without_a_crash_or_a_500(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    log = tmp_path / "log"
    with serving(tmp_path / "memory", log=log) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        assert httpx.post(f"{url}/cypher", json={"query": "RETURN 1"}).status_code == 200
        statuses: dict[str, set[int]] = {}
        began = time.monotonic()
        asked = [(kind, kind(rng)) for number in range(REQUESTS) for kind in [KINDS[number % len(KINDS)]]]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answered = list(pool.map(lambda each: answers(address, each[1]), asked))
        for (kind, data), got in zip(asked, answered, strict=True):
            assert not [status for status in got if status >= 500], (kind.__name__, data[:300], got)
            statuses.setdefault(kind.__name__, set()).update(got)
        took = time.monotonic() - began
        assert httpx.get(f"{url}/ready").status_code == 200
        assert httpx.post(f"{url}/cypher", json={"query": "RETURN 1"}).status_code == 200
        assert took < SECONDS, took
    told = log.read_text(errors="replace")
    for word in ("Traceback", "is started again", "Exception in ASGI"):
        assert word not in told, told[told.index(word) - 2_000 :][:4_000]
    assert {400, 431} <= set().union(*statuses.values())
    assert statuses["huge_headers"] == {431}
    assert 413 in statuses["huge_body"]
    assert 405 in statuses["wrong_method"]
