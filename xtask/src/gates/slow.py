"""slowhttptest's clients against the proxy: they lose their connections, and a neighbor is answered meanwhile.

They cannot show a credential: what they ask for is refused as soon as its head is there.

usage: slow.py UPSTREAM_PORT PROXY_PORT KEY_FILE; ends with a line as cargo prints one.
"""
import http.client
import http.server
import pathlib
import re
import subprocess
import sys
import threading
import time

SECONDS = 40
NEIGHBOR_MS_MAX = 100
BODY = b"x" * 1_000_000
# The others have their refusal whole, and are idle then.
CUT = {"slow heads", "slow bodies"}


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"ok" if self.path.endswith("/small") else BODY
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.do_GET()

    def log_message(self, *_):
        pass


def main():
    upstream, proxy, key = sys.argv[1:]
    auth = "Bearer " + pathlib.Path(key).read_text().strip()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(upstream)), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{proxy}/web/big"
    common = ["-c", "200", "-r", "100", "-l", str(SECONDS), "-u", url]
    modes = {
        "slow heads": ["-H", "-i", "5"],
        "slow bodies": ["-B", "-i", "5", "-s", "8192"],
        "slow readers": ["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "1"],
        "ranges": ["-R", "-a", "1", "-b", "1000"],
    }
    passed = failed = 0
    for name, mode in modes.items():
        slowest, wrong, stop = [0.0], [0], threading.Event()
        asking = threading.Thread(target=neighbor, args=(int(proxy), auth, slowest, wrong, stop))
        asking.start()
        done = subprocess.run(["slowhttptest", *mode, *common], capture_output=True, text=True)
        stop.set()
        asking.join()
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        # Without this the tool did not understand what it was to do.
        lasted = re.search(r"Test ended on (\d+)\w+ second", said)
        cut = "No open connections left" in said
        ok = lasted and (cut or name not in CUT) and not wrong[0] and slowest[0] * 1000 < NEIGHBOR_MS_MAX
        passed, failed = passed + bool(ok), failed + (not ok)
        ended = f"all cut after {lasted.group(1)} s" if cut and lasted else f"not all cut within {SECONDS} s"
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {ended}; neighbor at most {slowest[0] * 1000:.1f} ms, {wrong[0]} wrong")
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return 1 if failed else 0


def neighbor(port, auth, slowest, wrong, stop):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked = False
    while not stop.wait(0.05) or not asked:
        asked, began = True, time.monotonic()
        try:
            connection.request("GET", "/web/small", headers={"Authorization": auth})
            answer = connection.getresponse()
            wrong[0] += answer.read() != b"ok"
        except OSError:
            wrong[0] += 1
            connection.close()
        slowest[0] = max(slowest[0], time.monotonic() - began)


sys.exit(main())
