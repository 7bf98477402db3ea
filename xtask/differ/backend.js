// Node's HTTP server: reports each request it has read whole, one line of JSON each, and answers it.
// node backend.js REPORT; prints its port, and ends with its input.
const fs = require("node:fs");
const http = require("node:http");
const report = fs.openSync(process.argv[2], "a");
const server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  const parts = [];
  request.on("error", () => {});
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    if (!request.complete) return;
    const fields = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2)
      fields.push([request.rawHeaders[at], request.rawHeaders[at + 1]]);
    const body = Buffer.concat(parts).toString("latin1");
    fs.writeSync(report, JSON.stringify({ method: request.method, target: request.url, fields, body }) + "\n");
    response.setHeader("upstream-saw", request.headers["x-request-id"] ?? "");
    response.end("node");
  });
});
process.stdin.on("end", () => process.exit()).resume();
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
