"""The WebSocket cases of kosoku against an echo server, direct and through the proxy, over HTTP/1.1 and over HTTP/2: each
case must end alike.

usage: websocket.py UPSTREAM_PORT PROXY_PORT KEY_FILE [kosoku's options]; ends with a line as cargo prints one.
"""
import asyncio
import json
import logging
import pathlib
import sys
import tempfile

from tunnel import Tunnel
from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def adding(port, key):
    """A port that adds the credential to the first head of each connection, and the API's prefix to its path."""

    async def take(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n")
            method, target, rest = head.split(b" ", 2)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            far_writer.write(method + b" /ws" + target + b" " + rest)
            far_writer.write(b"Authorization: Bearer " + key + b"\r\n")
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer), return_exceptions=True)
        finally:
            writer.close()

    return take


def tunneling(port, key):
    """The same over HTTP/2."""

    async def take(reader, writer):
        try:
            await Tunnel(reader, writer, port, "/ws", key.decode()).carry()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return take


async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def cases(port, options):
    with tempfile.TemporaryDirectory() as out:
        kosoku = pathlib.Path(sys.executable).with_name("kosoku")
        running = await asyncio.create_subprocess_exec(
            str(kosoku), "-p", "4", "-o", out, *options, f"ws://127.0.0.1:{port}/", stdout=asyncio.subprocess.DEVNULL
        )
        await running.wait()
        found = {}
        for index in pathlib.Path(out).rglob("index.json"):
            for agent in json.loads(index.read_text()).values():
                found.update({name: (case.get("behavior"), case.get("behaviorClose")) for name, case in agent.items()})
        return found


async def main():
    upstream, proxy, key, *options = sys.argv[1:]
    key = pathlib.Path(key).read_text().strip().encode()
    passed = failed = 0
    # The cases are about what is wrong: the echo server tells of each at length.
    logging.disable(logging.CRITICAL)
    async with serve(echo, "127.0.0.1", int(upstream), max_size=2**26, compression="deflate"):
        expected = await cases(upstream, options)
        for version, relay in [("HTTP/1.1", adding), ("HTTP/2", tunneling)]:
            through = await asyncio.start_server(relay(int(proxy), key), "127.0.0.1", 0)
            found = await cases(through.sockets[0].getsockname()[1], options)
            alike = [name for name in expected if expected[name] == found.get(name)]
            print(f"{version}: {len(alike)} of {len(expected)} cases end as they do direct")
            passed, failed = passed + len(alike), failed + len(expected) - len(alike)
            for name in sorted(expected.keys() - alike):
                print(f"FAIL {name} over {version}: direct {expected[name]}, through the proxy {found.get(name)}")
    if not expected:
        failed += 1
        print("FAIL kosoku reported no case")
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
