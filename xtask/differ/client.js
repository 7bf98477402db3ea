// Node's HTTP client: asks for what it is told, one line of JSON each, and says how it read the answer.
const http = require("node:http");
const readline = require("node:readline");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let connections = 0;

const ask = (task) =>
  new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: task.port, path: task.target, headers: task.fields, agent };
    const request = http.get(options, (response) => {
      const fields = [];
      for (let at = 0; at < response.rawHeaders.length; at += 2)
        fields.push([response.rawHeaders[at], response.rawHeaders[at + 1]]);
      const parts = [];
      const connection = (request.socket.number ??= ++connections);
      const done = () =>
        resolve({
          connection,
          status: response.statusCode,
          fields,
          body: Buffer.concat(parts).toString("latin1"),
          whole: response.complete,
        });
      response.on("data", (part) => parts.push(part));
      response.on("error", () => {});
      response.on("close", done);
    });
    request.on("error", () => resolve(null));
  });

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin }))
    process.stdout.write(JSON.stringify(await ask(JSON.parse(line))) + "\n");
})();
