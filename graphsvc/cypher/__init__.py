"""Cypher that comes from outside: read as the engines read it, and judged before they see it. Pure."""
