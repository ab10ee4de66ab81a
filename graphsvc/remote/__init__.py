"""A memory that another process owns, by the interface of one's own: over HTTP, or over its owner's Unix socket."""
