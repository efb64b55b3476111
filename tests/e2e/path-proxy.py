#!/usr/bin/env python3
"""A proxy that takes a path away: path-proxy.py PORT /PATH http://SERVER. Forwards what is below the path, and redirects as
they are."""
import http.client
import http.server
import sys
from urllib.parse import urlsplit

PORT, PATH, SERVER = int(sys.argv[1]), sys.argv[2], urlsplit(sys.argv[3])


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def forward(self):
        if not self.path.startswith(PATH + '/'):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        to = http.client.HTTPConnection(SERVER.netloc)
        to.request(self.command, self.path[len(PATH):], body, dict(self.headers))
        answer = to.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ('connection', 'content-length'):
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        to.close()

    do_GET = do_POST = do_HEAD = forward


http.server.ThreadingHTTPServer(('127.0.0.1', PORT), Proxy).serve_forever()
