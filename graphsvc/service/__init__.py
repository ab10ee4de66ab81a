"""One memory for many: GraphQL, Cypher and calls over HTTP, MCP, and who may what. Made by `graphsvc serve`."""
