from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphsvc.embedding.batching import LEAST_SHARE, TOKENS_PER_TEXT, Backlog, Job


def drained(backlog: Backlog) -> list[list[Job]]:
    batches = []
    while batch := backlog.take():
        batches.append(batch)
    return batches


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=200),
    st.integers(1, 16),
    st.integers(1, 4),
    st.data(),
)
def test_every_job_is_handed_out_once_in_passes_that_are_not_too_large(lengths, size, lanes, data) -> None:
    backlog = Backlog(size, 256, lanes)
    jobs = []
    for number, (length, urgent) in enumerate(lengths):
        job = backlog.new_job(str(number).encode(), "x" * length)
        job.urgent = urgent
        backlog.add(job)
        jobs.append(job)
    for job in data.draw(st.lists(st.sampled_from(jobs), max_size=5)) if jobs else []:
        backlog.promote(job)
    batches = drained(backlog)
    assert sorted(job.key for batch in batches for job in batch) == sorted(job.key for job in jobs)
    for batch in batches:
        assert len(batch) <= size
        padded = len(batch) * max(job.tokens for job in batch)
        assert len(batch) == 1 or padded <= size * TOKENS_PER_TEXT
    urgency = [all(job.urgent for job in batch) for batch in batches]
    assert urgency == sorted(urgency, reverse=True)


def test_a_small_backlog_is_split_over_the_lanes() -> None:
    backlog = Backlog(32, 256, 2)
    for number in range(20):
        backlog.add(backlog.new_job(bytes([number]), "a text"))
    assert [len(batch) for batch in drained(backlog)] == [10, 10]


def test_very_few_texts_are_not_split() -> None:
    backlog = Backlog(32, 256, 4)
    for number in range(LEAST_SHARE):
        backlog.add(backlog.new_job(bytes([number]), "a text"))
    assert [len(batch) for batch in drained(backlog)] == [LEAST_SHARE]
