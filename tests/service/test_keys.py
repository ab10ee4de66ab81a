"""API keys: made, shown once, kept as hashes, rotated, revoked, expired; what isn't right in their file lets nobody in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.errors import BadInput, Conflict, Corrupt, NotFound, Unauthenticated, Unavailable
from graphsvc.service.access import Caller
from graphsvc.service.authentication import Authenticator
from graphsvc.service.checked import check
from graphsvc.service.keys import FILE, Keys
from graphsvc.service.operations import Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / FILE)


def test_a_key_is_found_by_its_text_alone_and_its_text_is_in_no_file(keys: Keys) -> None:
    key, text = keys.create("builder", "writer", ["a", "b", "a"], NOW)
    assert re.fullmatch(r"gsvc_[0-9a-f]{12}_[0-9a-f]{64}", text)
    assert keys.find(text, NOW) == key
    assert (key.role, key.namespaces) == ("writer", ("a", "b"))
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    for other in (wrong, text[:-1], text + "0", text.upper(), "", "gsvc_", key.hash, f"gsvc_{key.id}_{key.hash}"):
        assert keys.find(other, NOW) is None
    assert text.rpartition("_")[2] not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(keys.path.parent) == [FILE]


def test_a_key_expires_on_time(keys: Keys) -> None:
    _, text = keys.create("builder", "reader", None, NOW, lasts="1h")
    assert keys.find(text, NOW + HOUR - timedelta(microseconds=1))
    assert keys.find(text, NOW + HOUR) is None


def test_a_rotated_key_has_a_new_text_and_the_old_holds_for_the_grace(keys: Keys) -> None:
    key, old = keys.create("builder", "reader", None, NOW)
    rotated, new = keys.rotate("builder", NOW, grace="1h")
    assert rotated.id == key.id
    assert keys.find(new, NOW) == keys.find(old, NOW) == rotated
    assert keys.find(old, NOW + HOUR) is None
    assert keys.find(new, NOW + HOUR)
    _, newest = keys.rotate(key.id, NOW)
    assert keys.find(new, NOW) is keys.find(old, NOW) is None
    assert keys.find(newest, NOW)


def test_a_revoked_key_holds_no_longer_nor_what_it_was_rotated_from(keys: Keys) -> None:
    _, old = keys.create("builder", "reader", None, NOW)
    _, new = keys.rotate("builder", NOW, grace="1h")
    keys.revoke("builder", NOW)
    assert keys.find(new, NOW) is keys.find(old, NOW) is None
    for change in (keys.revoke, keys.rotate):
        with pytest.raises(NotFound):
            change("builder", NOW)
    _, text = keys.create("builder", "reader", None, NOW)
    assert keys.find(text, NOW)


def test_what_another_process_changed_is_seen_at_the_next_look(keys: Keys) -> None:
    other = Keys(keys.path)
    _, text = other.create("builder", "reader", None, NOW)
    assert keys.find(text, NOW)
    other.revoke("builder", NOW)
    assert keys.find(text, NOW) is None
    keys.path.unlink()
    assert keys.all() == {}


def test_keys_made_by_many_processes_at_once_are_all_there(tmp_path: Path) -> None:
    graphsvc.open(tmp_path / "m", embedder="hashing").close()
    program = (
        "import sys, datetime, pathlib; from graphsvc.service.keys import Keys\n"
        f"keys = Keys(pathlib.Path({str(tmp_path / 'm' / FILE)!r}))\n"
        "for n in range(10): keys.create(f'{sys.argv[1]}-{n}', 'reader', ['a'], datetime.datetime.now(datetime.UTC))"
    )
    makers = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)]
    assert [maker.wait(60) for maker in makers] == [0, 0, 0]
    assert len(Keys(tmp_path / "m" / FILE).all()) == 30


def test_names_roles_and_namespaces_are_checked(keys: Keys) -> None:
    keys.create("builder", "reader", None, NOW)
    with pytest.raises(Conflict):
        keys.create("builder", "reader", None, NOW)
    for name, namespaces, lasts in (("", None, None), ("x\n", None, None), ("x", [], None), ("x", [""], None), ("x", None, "soon"), ("x", None, "99999999d")):
        with pytest.raises(BadInput):
            keys.create(name, "reader", namespaces, NOW, lasts=lasts)


@pytest.mark.parametrize("content", ["", "{}x", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"id": "x"}]}', "[]", "\x00"])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    keys = Keys(tmp_path / FILE)
    _, text = keys.create("builder", "reader", None, NOW)
    known = Authenticator(tmp_path, ServiceSettings())
    assert known.authenticate(text).name == "builder"
    keys.path.write_text(content)
    with pytest.raises(Unavailable):
        known.authenticate(text)
    assert known.required
    with pytest.raises(Corrupt):
        Authenticator(tmp_path, ServiceSettings())


def test_a_file_that_others_may_read_or_write_lets_nobody_in(tmp_path: Path) -> None:
    keys = Keys(tmp_path / FILE)
    keys.create("builder", "reader", None, NOW)
    keys.path.chmod(0o644)
    with pytest.raises(BadInput, match="others"):
        Authenticator(tmp_path, ServiceSettings())


def test_loopback_is_open_until_there_is_a_key_and_stays_closed_when_the_file_goes(tmp_path: Path) -> None:
    known = Authenticator(tmp_path, ServiceSettings())
    assert not known.required
    keys = Keys(tmp_path / FILE)
    keys.create("builder", "reader", None, NOW)
    assert known.required
    keys.path.unlink()
    assert known.required
    assert Authenticator(tmp_path, ServiceSettings(authentication="required")).required


def test_a_revoked_key_doesnt_open_loopback_again(tmp_path: Path) -> None:
    keys = Keys(tmp_path / FILE)
    keys.create("builder", "reader", None, NOW)
    keys.revoke("builder", NOW)
    assert Authenticator(tmp_path, ServiceSettings()).required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "::ffff:127.0.0.1", "localhost.example.org", "127.0.0.1.nip.io"])
def test_any_address_but_loopback_takes_keys_or_tokens(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadInput, match="who may call"):
        Authenticator(tmp_path, ServiceSettings(host=host))
    Keys(tmp_path / FILE).create("builder", "reader", None, NOW)
    assert Authenticator(tmp_path, ServiceSettings(host=host)).required


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_loopback_takes_none(tmp_path: Path, host: str) -> None:
    assert not Authenticator(tmp_path, ServiceSettings(host=host)).required


def test_a_keys_caller_has_its_role_and_reach(tmp_path: Path) -> None:
    keys = Keys(tmp_path / FILE)
    key, text = keys.create("builder", "writer", ["a", "b"], NOW)
    known = Authenticator(tmp_path, ServiceSettings())
    assert known.authenticate(text) == Caller("builder", Role.WRITER, ("a", "b"), identity=key.id)
    for other in ("", "x", "gsvc_", "ü", "x" * 10_000, text[:-1]):
        with pytest.raises(Unauthenticated):
            known.authenticate(other)


# --- at the shell ---------------------------------------------------------------------------------------


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "graphsvc", "keys", *words, "-m", str(directory)], capture_output=True, text=True)


def told(directory: Path, *words: str) -> Any:
    done = run(directory, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys_are_made_listed_rotated_and_revoked_at_the_shell(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    graphsvc.open(directory, embedder="hashing").close()
    shown = run(directory, "create", "builder", "--role", "writer", "--namespace", "a", "--namespace", "b", "--expires", "90d")
    text = shown.stdout.split()[-1]
    assert text.startswith("gsvc_")
    assert Keys(directory / FILE).find(text, datetime.now(UTC))
    rotated = told(directory, "rotate", "builder", "--grace", "1h")
    listed = told(directory, "list")["keys"]
    assert [(key["name"], key["role"], key["namespaces"], key["state"]) for key in listed] == [("builder", "writer", ["a", "b"], "live")]
    human = run(directory, "list").stdout
    for secret in (text, rotated["key"], Keys(directory / FILE).all()[rotated["id"]].hash):
        assert secret not in json.dumps(listed)
        assert secret not in human
    assert told(directory, "revoke", rotated["id"])["state"] == "revoked"
    assert Keys(directory / FILE).find(rotated["key"], datetime.now(UTC)) is None


def test_a_key_says_its_reach_and_belongs_to_a_memory(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    graphsvc.open(directory, embedder="hashing").close()
    assert "--all-namespaces" in run(directory, "create", "x").stderr
    assert "--all-namespaces" in run(directory, "create", "x", "--namespace", "a", "--all-namespaces").stderr
    assert "not_a_memory" in run(tmp_path / "none", "list").stderr
    assert not (directory / FILE).exists()


def test_a_file_that_cant_be_looked_at_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="can't be read"):
        Keys(tmp_path / "file" / "keys.json").all()
    for name, settings in (
        ("keys_file", ServiceSettings(keys_file="~nobody-of-this-name/keys")),
        ("jwt_key_file", ServiceSettings(jwt_key_file="~nobody-of-this-name/key", jwt_audience="a", jwt_issuer="i")),
        ("tls_cert_file", ServiceSettings(tls_cert_file="~nobody-of-this-name/c", tls_key_file="~nobody-of-this-name/k")),
    ):
        with pytest.raises(BadInput, match="home directory") as raised:
            check(tmp_path, settings)
        assert raised.value.where == name
