"""What an algorithm gives: a value for each node, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.memory.reached import data_frame
from graphsvc.model.elements import End

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scores:
    """A value for each node, by table and key; a similarity best first.

    Attributes:
        label: tables of the nodes. key: their keys. values: an array, float64 or int64. name: of what is measured.
    """

    label: Sequence[str]
    key: Sequence[Any]
    values: NDArray[Any]
    name: str

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[str, Any, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"<Scores {self.name} of {len(self):,} nodes>"

    @property
    def columns(self) -> tuple[str, str, str]:
        """`label`, `key`, and the name of what is measured."""
        return ("label", "key", self.name)

    @property
    def rows(self) -> list[tuple[str, Any, Any]]:
        """Label, key and value of each node."""
        return list(zip(self.label, self.key, self.values.tolist(), strict=True))

    def by_node(self) -> dict[End, Any]:
        """The values by `(label, key)`."""
        return {End(label, key): value for label, key, value in self.rows}

    def top(self, k: int = 10) -> Scores:
        """The k nodes with the highest values, highest first; of equal ones the first by table and key."""
        return self.taken(np.lexsort((np.arange(len(self)), -self.values))[:k])

    def groups(self) -> list[list[End]]:
        """The nodes of each community or component, in the order of their numbers."""
        found: list[list[End]] = [[] for _ in range(int(self.values.max(initial=-1)) + 1)]
        for label, key, number in self.rows:
            found[int(number)].append(End(label, key))
        return found

    def taken(self, places: NDArray[np.int64]) -> Scores:
        """Some of the nodes, in the order given."""
        chosen = places.tolist()
        return Scores([self.label[p] for p in chosen], [self.key[p] for p in chosen], self.values[places], self.name)

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        import pyarrow as pa

        texts = all(isinstance(key, str) for key in self.key)
        numbers = all(isinstance(key, int) for key in self.key)
        keys = pa.array(self.key) if numbers and not texts else pa.array([str(key) for key in self.key], pa.string())
        labels = pa.array(self.label, pa.string())
        return pa.table({"label": labels, "key": keys, self.name: pa.array(self.values)})

    def df(self) -> pd.DataFrame:
        """As a pandas DataFrame. Raises MissingExtra if pandas isn't installed."""
        return data_frame({"label": self.label, "key": self.key, self.name: self.values}, self.columns)

    def as_dicts(self) -> list[dict[str, Any]]:
        """As JSON has them."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def json(self) -> str:
        """As JSON: a list of objects."""
        return msgspec.json.encode(self.as_dicts()).decode()
