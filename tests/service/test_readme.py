"""What the README shows of the service is run against one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

import graphsvc

from ..conftest import ROOT
from .conftest import serving

SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Serve it\n")[2].partition("\n## ")[0]
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("readme") / "memory"
    with graphsvc.open(directory, embedder="hashing") as memory:
        memory.skills.create(name="json.loads", description="parse a JSON document", id="json.loads")
        memory.episodes.store(session="s", task="parse a JSON document", id="e1")
    with serving(directory) as address:
        yield address


def run_shell(script: str, url: str) -> str:
    done = subprocess.run(["sh", "-ec", script.replace(ADDRESS, url)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
def test_the_commands_of_the_readme_answer(url: str) -> None:
    graphql, cypher = blocks("sh")
    found = json.loads(run_shell(graphql, url))
    assert "errors" not in found, found
    assert found["data"]["episodes"]["totalCount"] == 1
    first, row, last = map(json.loads, run_shell(cypher, url).splitlines())
    assert (first["columns"], row, last["count"]) == (["id"], ["json.loads"], 1)


def test_the_client_of_the_readme_answers(url: str) -> None:
    (program,) = blocks("py")
    done = subprocess.run(
        [sys.executable, "-c", program.replace(ADDRESS, url)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "json.loads\n"


def test_the_configuration_of_the_readme_starts_a_server(tmp_path: Path) -> None:
    (text,) = blocks("json")
    told: dict[str, Any] = json.loads(text)["mcpServers"]["memory"]
    assert told["command"] == "graphsvc"

    async def main() -> None:
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "graphsvc", *told["args"]], cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "GRAPHSVC_EMBEDDER": "hashing"},
        )  # fmt: skip
        async with Client(stdio_client(parameters)) as client:
            assert len((await client.list_tools()).tools) == 30

    anyio.run(main)
    assert (tmp_path / "memory" / "graphsvc.json").exists()
