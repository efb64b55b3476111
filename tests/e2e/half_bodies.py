"""Clients without a certificate that begin to send a body and stop in the middle.

usage: half_bodies.py CA CONNECTIONS BYTES
Prints "sent" when all have sent what the server takes, and how many it answered with 429; then holds
them until it is killed.
"""

import signal
import socket
import ssl
import sys


def begin(tls, size):
    sock = tls.wrap_socket(socket.create_connection(("127.0.0.1", 6443)), server_hostname="127.0.0.1")
    sock.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (size + 1))
    sock.settimeout(0.5)
    try:
        sock.sendall(b" " * size)
    except OSError:
        pass
    return sock


def is_refused(sock):
    sock.setblocking(False)
    try:
        return sock.recv(64).startswith(b"HTTP/1.1 429 ")
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def main():
    tls = ssl.create_default_context(cafile=sys.argv[1])
    held = [begin(tls, int(sys.argv[3])) for _ in range(int(sys.argv[2]))]
    print("sent", sum(map(is_refused, held)), flush=True)
    signal.pause()


main()
