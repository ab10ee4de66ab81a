"""The memory as GraphQL: one schema, derived from the records, the verbs and the user's tables."""
