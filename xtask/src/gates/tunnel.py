"""Connections of HTTP/1.1 that switch to WebSocket, each carried over a stream of HTTP/2 of its own (RFC 8441)."""
import asyncio
import base64
import hashlib

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.settings import SettingCodes

STREAM = 1
# Of the handshake of HTTP/1.1 alone.
LEFT_OUT = {"connection", "upgrade", "host", "sec-websocket-key"}
PROOF = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LAST_WAIT_S = 5


class Tunnel:
    def __init__(self, reader, writer, port, prefix, key):
        self.reader, self.writer, self.port, self.prefix, self.key = reader, writer, port, prefix, key
        self.codec = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.room, self.asked, self.upward = asyncio.Event(), False, None

    async def carry(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.split("\r\n")[:-2]
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.proof = base64.b64encode(hashlib.sha1(dict(fields)["sec-websocket-key"].encode() + PROOF).digest())
        self.ask = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{self.port}"),
            (":path", self.prefix + request.split(" ")[1]),
            ("authorization", "Bearer " + self.key),
            *((name, value) for name, value in fields if name not in LEFT_OUT),
        ]
        far, self.far = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            self.codec.initiate_connection()
            self.flush()
            while data := await far.read(65536):
                for event in self.codec.receive_data(data):
                    if await self.ends(event):
                        return
                self.flush()
                await self.writer.drain()
        finally:
            self.far.close()
            if self.upward:
                self.upward.cancel()

    async def ends(self, event):
        if isinstance(event, RemoteSettingsChanged) and not self.asked:
            assert SettingCodes.ENABLE_CONNECT_PROTOCOL in event.changed_settings
            self.asked = True
            self.codec.send_headers(STREAM, self.ask)
        elif isinstance(event, ResponseReceived):
            self.answer(dict(event.headers))
        elif isinstance(event, DataReceived):
            self.writer.write(event.data)
            self.codec.acknowledge_received_data(event.flow_controlled_length, STREAM)
        elif isinstance(event, StreamEnded):
            self.flush()
            self.writer.write_eof()
            await asyncio.wait([self.upward], timeout=LAST_WAIT_S)
            return True
        elif isinstance(event, (StreamReset, ConnectionTerminated)):
            self.writer.transport.abort()
            return True
        if isinstance(event, (RemoteSettingsChanged, WindowUpdated)):
            self.room.set()
        return False

    def answer(self, fields):
        assert fields[":status"] == "200", fields
        passed = [(name, fields[name]) for name in fields if name.startswith("sec-websocket-")]
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + self.proof]
        lines += [f"{name}: {value}".encode() for name, value in passed]
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self.upward = asyncio.create_task(self.lift())

    async def lift(self):
        while data := await self.reader.read(65536):
            while data:
                room = min(self.codec.local_flow_control_window(STREAM), self.codec.max_outbound_frame_size)
                if room <= 0:
                    self.room.clear()
                    await self.room.wait()
                    continue
                self.codec.send_data(STREAM, data[:room])
                data = data[room:]
                self.flush()
            await self.far.drain()
        self.codec.end_stream(STREAM)
        self.flush()

    def flush(self):
        self.far.write(self.codec.data_to_send())
