"""Calls of every kind, direct and through the proxy: what a caller sees must be the same.

usage: grpc.py UPSTREAM_PORT PROXY_PORT KEY_FILE; ends with a line as cargo prints one.
"""
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "shop.Orders"
BIG = 3 * 1024 * 1024


class Orders(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rsplit("/", 1)[-1]
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(self.up),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "Slow": grpc.unary_unary_rpc_method_handler(self.slow),
            "Endless": grpc.unary_stream_rpc_method_handler(self.endless),
            "Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
        }.get(name)

    def unary(self, request, context):
        return request

    def down(self, request, context):
        for turn in range(int(request)):
            yield b"%d" % turn

    def up(self, requests, context):
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests, context):
        for request in requests:
            yield request

    def fail(self, request, context):
        context.set_trailing_metadata((("why", "because"), ("why-bin", b"\x00\xff")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 100% \u00e9")

    def fail_late(self, request, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def slow(self, request, context):
        time.sleep(2)
        return b"late"

    def endless(self, request, context):
        while context.is_active():
            yield b"more"
            time.sleep(0.01)

    def metadata(self, request, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata((("initial", sent.get("asked", "")), ("initial-bin", sent.get("asked-bin", b""))))
        context.set_trailing_metadata((("trailing", "1"), ("trailing", "2")))
        return b"ok"


def outcome(call):
    """What a caller sees of a call."""
    try:
        return ("ok", call())
    except grpc.RpcError as error:
        trailing = [(key, value) for key, value in error.trailing_metadata() or () if key.startswith("why")]
        return (error.code(), error.details(), trailing)


def pieces(count, size=1):
    for turn in range(count):
        yield b"%d" % (turn % 10) * size


def unary(channel, auth, method, request, **more):
    metadata = tuple(auth) + tuple(more.pop("metadata", ()))
    return channel.unary_unary(f"/{SERVICE}/{method}")(request, metadata=metadata, timeout=more.pop("timeout", 20))


def with_metadata(channel, auth):
    sent = (("asked", "a, b"), ("asked-bin", b"\x01\x02\xfe"))
    reply, call = channel.unary_unary(f"/{SERVICE}/Metadata").with_call(b"", metadata=tuple(auth) + sent, timeout=20)
    initial = [pair for pair in call.initial_metadata() if pair.key.startswith("initial")]
    trailing = [pair for pair in call.trailing_metadata() if pair.key == "trailing"]
    return (reply, initial, trailing)


def cancelled(channel, auth):
    call = channel.unary_stream(f"/{SERVICE}/Endless")(b"", metadata=auth, timeout=20)
    first = next(call)
    call.cancel()
    try:
        list(call)
    except grpc.RpcError as error:
        return (first, error.code())


def ping_pong(channel, auth):
    """Each message waits for the one before it: neither side may be held back."""
    ready, answers = threading.Semaphore(1), []

    def ask():
        for turn in range(20):
            assert ready.acquire(timeout=10)
            yield b"%d" % turn

    for answer in channel.stream_stream(f"/{SERVICE}/Both")(ask(), metadata=auth, timeout=20):
        answers.append(answer)
        ready.release()
    return answers


CASES = {
    "unary": lambda c, a: unary(c, a, "Unary", b"hello"),
    "unary, empty": lambda c, a: unary(c, a, "Unary", b""),
    "unary, big": lambda c, a: len(unary(c, a, "Unary", b"x" * BIG)),
    "server streaming": lambda c, a: list(c.unary_stream(f"/{SERVICE}/Down")(b"500", metadata=a, timeout=20)),
    "server streaming, nothing": lambda c, a: list(c.unary_stream(f"/{SERVICE}/Down")(b"0", metadata=a, timeout=20)),
    "client streaming": lambda c, a: c.stream_unary(f"/{SERVICE}/Up")(pieces(500, 1000), metadata=a, timeout=20),
    "client streaming, nothing": lambda c, a: c.stream_unary(f"/{SERVICE}/Up")(iter(()), metadata=a, timeout=20),
    "bidirectional": lambda c, a: list(c.stream_stream(f"/{SERVICE}/Both")(pieces(200, 5000), metadata=a, timeout=20)),
    "bidirectional, in turns": ping_pong,
    "error": lambda c, a: unary(c, a, "Fail", b""),
    "error after a message": lambda c, a: list(c.unary_stream(f"/{SERVICE}/FailLate")(b"", metadata=a, timeout=20)),
    "unknown method": lambda c, a: unary(c, a, "Nothing", b""),
    "deadline": lambda c, a: unary(c, a, "Slow", b"", timeout=0.5),
    "deadline within a stream": lambda c, a: list(c.unary_stream(f"/{SERVICE}/Endless")(b"", metadata=a, timeout=0.5)),
    "metadata": with_metadata,
    "cancellation": cancelled,
}

# What a caller sees of Daypass's own refusals.
REFUSED = {
    "no credential": ((), SERVICE, grpc.StatusCode.UNAUTHENTICATED),
    "a wrong credential": ((("authorization", "Bearer nothing"),), SERVICE, grpc.StatusCode.UNAUTHENTICATED),
}


def main():
    upstream, proxy, key = sys.argv[1:]
    auth = (("authorization", "Bearer " + open(key).read().strip()),)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=options)
    server.add_generic_rpc_handlers((Orders(),))
    assert server.add_insecure_port(f"127.0.0.1:{upstream}")
    server.start()
    direct = grpc.insecure_channel(f"127.0.0.1:{upstream}", options)
    through = grpc.insecure_channel(f"127.0.0.1:{proxy}", options)
    passed = failed = 0

    def judge(name, expected, found):
        nonlocal passed, failed
        if expected == found:
            passed += 1
        else:
            failed += 1
            print(f"FAIL {name}\n  expected {str(expected)[:300]}\n  found    {str(found)[:300]}")

    for name, case in CASES.items():
        expected = outcome(lambda: case(direct, ()))
        judge(name, expected, outcome(lambda: case(through, auth)))
    for name, (credential, _, code) in REFUSED.items():
        judge(name, code, outcome(lambda: unary(through, credential, "Unary", b""))[0])
    elsewhere = through.unary_unary("/other.Service/Unary")
    judge("an API that is not there", grpc.StatusCode.UNIMPLEMENTED, outcome(lambda: elsewhere(b"", metadata=auth, timeout=20))[0])
    # Many at once, over one connection.
    with futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda turn: unary(through, auth, "Unary", b"%d" % turn), range(500)))
    judge("500 calls at once", [b"%d" % turn for turn in range(500)], answers)
    server.stop(None)
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return 1 if failed else 0


sys.exit(main())
