"""Python's http.server: reports each request it has read whole, one line of JSON each, and answers it.

python3 backend.py REPORT; prints its port, and ends with its input.
"""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

report = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return whole

    def answer(self):
        try:
            body = self.body()
        except ValueError:
            self.close_connection = True
            return
        length = self.headers.get("content-length")
        if length is not None and len(body) != int(length):
            self.close_connection = True
            return
        seen = {
            "method": self.command,
            "target": self.path,
            "fields": self.headers.items(),
            "body": body.decode("latin1"),
        }
        os.write(report, json.dumps(seen).encode() + b"\n")
        self.send_response(200)
        self.send_header("upstream-saw", self.headers.get("x-request-id", ""))
        self.send_header("content-length", "6")
        try:
            self.end_headers()
            self.wfile.write(b"python")
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a connection that ends within a request


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
