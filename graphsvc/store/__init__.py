"""The projections of the log: graph, full text, vectors, and the followers that keep them up."""
