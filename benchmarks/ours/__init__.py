"""The sections that measure graphsvc, each run in a process of its own."""
