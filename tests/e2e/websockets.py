#!/usr/bin/python3
"""websockets.py SERVER CA CRT KEY PATH PROTOCOL [SEND…]: one WebSocket with the API server.

Prints the protocol that was agreed on, then a line for each message: "text" or "bytes", and the payload as a Python
literal. SEND: messages, "text:…" or "bytes:…" with Python's escapes; "wait:N" reads until N messages have come,
"until:TEXT" until one holds the text; "ping" waits for the answer; "close" says goodbye. Ends with the code of the server's goodbye."""
import ast, ssl, sys
import websocket

server, ca, crt, key, path, protocol = sys.argv[1:7]
seen, last = 0, b""


def read(ws):
    global seen, last
    op, data = ws.recv_data(control_frame=True)
    if op == websocket.ABNF.OPCODE_CLOSE:
        print("close", int.from_bytes(data[:2], "big"), flush=True)
        sys.exit(0)
    if op in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
        seen, last = seen + 1, data
        print("text" if op == websocket.ABNF.OPCODE_TEXT else "bytes", ascii(data)[1:], flush=True)
    return op


options = {"ca_certs": ca, "certfile": crt, "keyfile": key, "check_hostname": False}
try:
    ws = websocket.create_connection(server + path, sslopt=options, timeout=20,
                                     subprotocols=[p for p in protocol.split(",") if p] or None)
except websocket.WebSocketBadStatusException as e:
    print("refused", e.status_code)
    sys.exit(0)
print("protocol", ws.getsubprotocol() or "", flush=True)
for word in sys.argv[7:]:
    kind, _, rest = word.partition(":")
    if kind == "wait":
        while seen < int(rest):
            read(ws)
    elif kind == "until":
        while rest.encode() not in last:
            read(ws)
    elif kind == "ping":
        ws.ping("are you there")
        while read(ws) != websocket.ABNF.OPCODE_PONG:
            pass
        print("pong", flush=True)
    elif kind == "close":
        ws.send_close()
    else:
        data = ast.literal_eval("b'%s'" % rest)
        ws.send(data, websocket.ABNF.OPCODE_TEXT if kind == "text" else websocket.ABNF.OPCODE_BINARY)
try:
    while True:
        read(ws)
except (websocket.WebSocketConnectionClosedException, ConnectionError):
    print("end", flush=True)
