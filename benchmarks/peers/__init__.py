"""The sections that measure the others, each run in a process of its own."""
