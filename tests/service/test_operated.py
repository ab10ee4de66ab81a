"""What who runs the service sees: figures, logs, snapshots on schedule."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import graphsvc
from graphsvc.config import ServiceSettings
from graphsvc.errors import MissingExtra, NotFound
from graphsvc.service import snapshots
from graphsvc.service.access import Caller
from graphsvc.service.app import application
from graphsvc.service.gate import Gate
from graphsvc.service.metrics import Metrics
from graphsvc.service.operations import Role
from graphsvc.service.slow import SlowLog
from graphsvc.service.snapshots import NAME, Snapshots

from .test_supervisor import service

ADMIN = Caller("k", Role.ADMIN)


def figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_tell_rates_latencies_lag_caches_queue_and_process(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            gate = Gate(memory)
            metrics = Metrics(gate, restarts=3)
            await gate.call(ADMIN, "episodes.store", session="s", task="t", id="e1")
            await memory.wait()
            for _ in range(3):
                await gate.call(ADMIN, "episodes.retrieve", "t")
            with pytest.raises(NotFound):
                await gate.call(ADMIN, "episodes.get", "none")
            found = figures(metrics.text().decode())
            assert found["graphsvc_operations_total", (("operation", "episodes.retrieve"), ("outcome", "ok"))] == 3
            assert found["graphsvc_operations_total", (("operation", "episodes.get"), ("outcome", "not_found"))] == 1
            assert found["graphsvc_operation_seconds_count", (("operation", "episodes.store"),)] == 1
            assert found["graphsvc_query_cache_hits_total", ()] == 2
            assert found["graphsvc_lag_entries", (("projection", "graph"),)] == 0
            assert found["graphsvc_records", (("kind", "episodes"),)] == 1
            assert found["graphsvc_writes_waiting", ()] == 0
            assert found["graphsvc_worker_restarts", ()] == 3
            assert found["process_resident_memory_bytes", ()] > 0

    asyncio.run(main())


def test_each_request_is_a_line_of_json_with_its_id_and_none_of_its_texts(tmp_path: Path) -> None:
    with service(tmp_path / "memory") as running:
        secret = "the-words-of-a-statement"
        found = httpx.post(
            f"{running.url}/cypher", json={"query": "RETURN $x AS x", "params": {"x": secret}},
            headers={"X-Request-ID": "mine-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
        )  # fmt: skip
        assert found.headers["x-request-id"] == "mine-1"
        forged = httpx.get(f"{running.url}/nothing", headers={"X-Request-ID": "a b\tc"})
        assert forged.status_code == 404
        assert re.fullmatch("[0-9a-f]{16}", forged.headers["x-request-id"])
        assert figures(httpx.get(f"{running.url}/metrics").text)[
            "graphsvc_http_responses_total", (("path", "/cypher"), ("status", "200"))
        ] == 1
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    mine = next(line for line in lines if line.get("request") == "mine-1" and line["event"] == "request")
    assert (mine["path"], mine["status"], mine["trace"]) == ("/cypher", 200, "a" * 32)
    assert not any(line.get("path") in ("/ready", "/metrics") for line in lines)
    assert secret not in running.log.read_text()


WITH_VALUE = "MATCH (e:Episode) WHERE e.task = $task RETURN count(*)"


def test_what_is_slow_is_logged_with_its_plan(path: Path) -> None:
    import structlog

    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            gate = Gate(memory)
            slow = SlowLog(gate, 0.0)
            noted: list[Any] = []
            gate.listeners.append(noted.append)
            await gate.call(ADMIN, "cypher", query="MATCH (e:Episode) RETURN count(*)")
            await gate.call(ADMIN, "cypher", query=WITH_VALUE, params={"task": "a secret"})
            await memory.graph.define("P", {"n": str}, key="n")
            await gate.call(ADMIN, "cypher", query="CREATE (:P {n: 'x'})", write=True)
            await asyncio.gather(*slow._plans)
            assert len(noted) == 3, "looking at a plan is no operation of anybody's"

    with structlog.testing.capture_logs() as told:
        asyncio.run(main())
    by_statement = {line["statement"]: line for line in told}
    assert {line["operation"] for line in told} == {"cypher", "cypher.write"}
    for statement in ("MATCH (e:Episode) RETURN count(*)", WITH_VALUE):
        assert "SCAN" in by_statement[statement]["plan"].upper(), told
    assert "CREATE (:P {n: 'x'})" in by_statement
    assert "a secret" not in str(told)


def test_who_was_asked_to_wait_is_not_slow_and_who_went_is_no_defect(path: Path) -> None:
    import structlog

    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            gate = Gate(memory)
            metrics = Metrics(gate)
            SlowLog(gate, 0.0)
            head = (await gate.call(ADMIN, "status"))["head"]
            await gate.call(ADMIN, "changes", head, wait=0.2)
            await gate.call(ADMIN, "wait")
            gone = asyncio.create_task(gate.call(ADMIN, "changes", head, wait=30))
            await asyncio.sleep(0.2)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            found = figures(metrics.text().decode())
            ended = {key: value for key, value in found.items() if key[0] == "graphsvc_operations_total"}
            shown = {(dict(labels)["operation"], dict(labels)["outcome"]): value for (_, labels), value in ended.items()}
            assert shown == {("status", "ok"): 1, ("changes", "ok"): 1, ("wait", "ok"): 1, ("changes", "cancelled"): 1}

    with structlog.testing.capture_logs() as told:
        asyncio.run(main())
    assert [line["operation"] for line in told] == ["status"]


def test_tracing_is_asked_for_and_may_be_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    async def main(missing: bool) -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            if missing:
                monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
                with pytest.raises(MissingExtra):
                    application(memory, ServiceSettings(tracing=True))
                monkeypatch.undo()
            else:
                await spans(memory)

    async def spans(memory: graphsvc.AsyncMemory) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(kept))
        trace.set_tracer_provider(provider)
        gate = application(memory, ServiceSettings(tracing=True)).state.gate
        await gate.call(ADMIN, "episodes.count")
        with pytest.raises(NotFound):
            await gate.call(ADMIN, "episodes.get", "none")
        assert [span.name for span in kept.get_finished_spans()] == ["episodes.count", "episodes.get"]
        assert kept.get_finished_spans()[1].attributes["error.type"] == "not_found"

    asyncio.run(main(missing=True))
    asyncio.run(main(missing=False))


def test_a_snapshot_that_fails_in_a_way_that_nobody_foresaw_is_counted_and_tried_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "RETRY_SECONDS", 0.05)

    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            metrics = Metrics(Gate(memory))
            schedule = Snapshots(memory, ServiceSettings(snapshot_dir=str(tmp_path / "kept")), metrics)
            (tmp_path / "kept").mkdir()
            whole = memory.snapshot
            fails = iter([RuntimeError("of the engine"), ValueError("of a library")])

            async def snapshot(place: Path) -> Any:
                for error in fails:
                    raise error
                return await whole(place)

            monkeypatch.setattr(memory, "snapshot", snapshot)
            task = asyncio.create_task(schedule.run())
            while not schedule.taken():
                await asyncio.sleep(0.05)
            assert not task.done()
            task.cancel()
            assert figures(metrics.text().decode())["graphsvc_snapshot_failures_total", ()] == 2

    asyncio.run(main())


def test_snapshots_are_taken_on_schedule_kept_for_a_time_and_can_be_restored(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "snapshots"
    settings = ServiceSettings(snapshot_dir=str(kept), snapshot_every=86_400, snapshot_keep=7 * 86_400)

    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="kept", id="e1")
            metrics = Metrics(Gate(memory))
            schedule = Snapshots(memory, settings, metrics)
            task = asyncio.create_task(schedule.run())
            while not schedule.taken():
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)  # a second one isn't due
            task.cancel()
            (first,) = schedule.taken()
            assert figures(metrics.text().decode())["graphsvc_snapshot_timestamp_seconds", ()] > time.time() - 60
            old = first.with_name(time.strftime(NAME, time.gmtime(time.time() - 8 * 86_400)))
            week = first.with_name(time.strftime(NAME, time.gmtime(time.time() - 6 * 86_400)))
            (kept / "not of ours").mkdir()
            for copy in (old, week):
                await memory.snapshot(copy)
            await memory.episodes.store(session="s", task="later", id="e2")
            await asyncio.sleep(1.1)  # names tell seconds
            latest = await schedule.take()
            assert schedule.taken() == [week, first, latest]
            assert (kept / "not of ours").exists()

    asyncio.run(main())
    latest = max(kept.glob("*Z"))
    graphsvc.restore(latest, tmp_path / "drill")  # the drill: what was taken can be put back, and is whole
    with graphsvc.open(tmp_path / "drill") as memory:
        assert memory.verify().ok
        assert {episode.id for episode in memory.episodes.list()} == {"e1", "e2"}
