"""The rows of a statement, as they lie in the log: what forgetting leaves of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphsvc.model.held import Held


def rows_without(data: bytes, held: Held, keys: Sequence[Callable[[str], str]] = ()) -> bytes:
    """An Arrow stream whose texts hold none of some texts; the same bytes where they didn't.

    Args:
        keys: for the first columns, what a value that holds one is called instead.
    """
    if not data or not held:
        return data
    import pyarrow as pa  # here: who forgets has few statements, and it takes long to load

    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    changed = False
    for place, field in enumerate(table.schema):
        listed = pa.types.is_list(field.type)
        if not pa.types.is_string(field.type.value_type if listed else field.type):
            continue
        values = table.column(place).to_pylist()
        if place < len(keys):
            cleaned = [keys[place](value) if held(value) else value for value in values]
        else:
            cleaned = held.cleaned(values)
        if cleaned != values:
            table = table.set_column(place, field, pa.array(cleaned, field.type))
            changed = True
    if not changed:
        return data
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
