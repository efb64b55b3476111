"""HTTP/2 clients that ask for lists and never open their window.

usage: closed_window.py CA CERT KEY CONNECTIONS STREAMS PATH
Prints "asked" when every list has been begun to be answered; then holds everything until it is killed.
"""

import signal
import socket
import ssl
import struct
import sys

HEADERS, SETTINGS, PING = 1, 4, 6
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def header(name, value):
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def read(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, "the server closed the connection"
        data += more
    return data


def main():
    ca, cert, key, connections, streams, path = sys.argv[1:7]
    tls = ssl.create_default_context(cafile=ca)
    tls.load_cert_chain(cert, key)
    tls.set_alpn_protocols(["h2"])
    request = (header(":method", "GET") + header(":scheme", "https") + header(":authority", "x")
               + header(":path", path) + header("accept", "application/json"))
    held = []
    for _ in range(int(connections)):
        sock = tls.wrap_socket(socket.create_connection(("127.0.0.1", 6443)), server_hostname="127.0.0.1")
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                     + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)))
        for i in range(int(streams)):
            sock.sendall(frame(HEADERS, 5, 2 * i + 1, request))
        begun = 0
        while begun < int(streams):
            head = read(sock, 9)
            read(sock, int.from_bytes(head[:3], "big"))
            begun += head[3] == HEADERS
        held.append(sock)
    print("asked", flush=True)
    signal.pause()


main()
