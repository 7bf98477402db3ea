"""h2load through the proxy: no request fails, also beside clients that reset what they open, and rounds after the first
leave the node as large as it was.

usage: load.py UPSTREAM_PORT PROXY_PORT KEY_FILE NODE_PID; ends with a line as cargo prints one.
"""
import http.server
import pathlib
import re
import socket
import subprocess
import sys
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes

REQUESTS = 20_000
RESETTING = 4
GROWTH_KIB_MAX = 32 * 1024


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def reset(port, auth, stop, counts):
    """Opens streams and resets each at once, as fast as it can; begins anew whenever its connection is ended."""
    name, value = auth.split(": ")
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", "/web/small"), (name, value)]
    while not stop.is_set():
        codec = H2Connection(H2Configuration(client_side=True))
        codec.initiate_connection()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
                while not stop.is_set():
                    for _ in range(5):
                        opened = codec.get_next_available_stream_id()
                        codec.send_headers(opened, head, end_stream=True)
                        codec.reset_stream(opened, ErrorCodes.CANCEL)
                        counts["resets"] += 1
                    stream.sendall(codec.data_to_send())
        except OSError:
            counts["ended"] += 1


def main():
    upstream, proxy, key, pid = sys.argv[1:]
    auth = "authorization: Bearer " + pathlib.Path(key).read_text().strip()
    threading.Thread(target=Server(("127.0.0.1", int(upstream)), Upstream).serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{proxy}/web/small"
    passed, failed, sizes = 0, 0, []
    for connections, streams, resetting in [(4, 25, 0), (1, 100, 0), (50, 2, 0), (4, 25, RESETTING), (4, 25, 0)]:
        stop, beside = threading.Event(), {"resets": 0, "ended": 0}
        neighbors = [threading.Thread(target=reset, args=(int(proxy), auth, stop, beside)) for _ in range(resetting)]
        for neighbor in neighbors:
            neighbor.start()
        command = ["h2load", f"-n{REQUESTS}", f"-c{connections}", f"-m{streams}", "-H", auth, url]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        stop.set()
        for neighbor in neighbors:
            neighbor.join()
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
        good = re.search(r"status codes: (\d+) 2xx", said)
        ok = counts and counts.groups() == (str(REQUESTS), "0", "0") and good and int(good.group(1)) == REQUESTS
        if resetting:
            # A flood is ended: otherwise there was none.
            ok = ok and beside["ended"] > 0
            print(f"beside {beside['resets']} resets, for which {beside['ended']} connections were ended:")
        passed, failed = passed + bool(ok), failed + (not ok)
        sizes.append(resident_kib(pid))
        told = counts.group(0) if counts else said[-300:]
        print(f"{'ok  ' if ok else 'FAIL'} {connections} connections, {streams} streams: {told}; {sizes[-1]} KiB")
    grew = sizes[-1] - sizes[0]
    ok = grew < GROWTH_KIB_MAX
    passed, failed = passed + ok, failed + (not ok)
    print(f"{'ok  ' if ok else 'FAIL'} grew by {grew} KiB after the first round")
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return 1 if failed else 0


sys.exit(main())
