"""Smith: a small agent that solves text tasks by search, and the record of its runs.

The agent is real: it composes programs from a fixed stock of operations, has them judged by tests it
never sees, and writes its own critiques of what failed. Nothing in its episodes is written by hand.
"""
