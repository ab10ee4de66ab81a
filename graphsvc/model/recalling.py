"""What `memory.recall` goes by where nobody says otherwise, and the flags of what it finds."""

from __future__ import annotations

DEFAULT_K = 12
"""How many are recalled, as in AgentDB."""
SHARE_OF_NEARNESS = 0.2
"""What nearness in the graph counts of the similarity, where it is asked for."""
NO_EVIDENCE = "no_evidence"
"""Flag: no causal edge says what the item does to the goal."""
PENDING = "pending"
"""Flag: not embedded yet."""
PAST, FUTURE = "past", "future"
"""Flags: a fact that held before the moment that is asked of, or holds after it."""
