// Runs the audit suite of the GraphQL over HTTP specification against a server, and tells its results as JSON.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
const results = [];
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const found = await audit.fn();
  results.push({ id: audit.id, name: audit.name, status: found.status, reason: found.reason });
}
console.log(JSON.stringify(results));
