"""The log of every acknowledged write, and the records that it adds up to: `memory.sqlite`."""
