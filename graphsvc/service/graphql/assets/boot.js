// Shows GraphiQL, which asks the service that this page came from.
"use strict";

const socket = new URL("graphql", location.href);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const fetcher = GraphiQL.createFetcher({ url: "/graphql", subscriptionUrl: socket.href });

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultEditorToolsVisibility: true,
    defaultQuery: `# Everything worth knowing for a task, of every kind at once. Run it with Ctrl-Enter.

{
  recall(text: "deploy the service", k: 5) {
    __typename
  }
}
`,
  }),
);
