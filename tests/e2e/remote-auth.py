#!/usr/bin/env python3
"""A cloud in small, for tests: remote-auth.py PORT FOLDER

Any POST to /write/NAME or /api/v2/alerts must prove who it is: by a signature of AWS (reckoned here anew) or a token that
was handed out here. One line for each goes to FOLDER/auth: NAME, status, who. Keys and tokens are handed out by STS
(/sts), a container's (/container) and a machine's services, Azure's and Google's token endpoints; each handing out is a
line of FOLDER/issued. While FOLDER/down is there, these answer 500."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
# Key: secret, session token.
KEYS = {"AKSTATIC": ("static/secret+key", ""), "AKPROFILE": ("profile-secret", "profile-session"), "AKENV": ("env-secret", ""),
        "ASROLE": ("role-secret", "role-session=="), "ASWEB": ("web-secret", "web-session"),
        "ASBOX": ("box-secret", "box-session"), "ASMACHINE": ("machine-secret", "machine-session")}
TOKENS = {}


def soon(seconds=3600):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def unpack(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Denied(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Denied(why)


def verify_jwt(token, public_key):
    """Header and claims; the signature is OpenSSL's to judge."""
    head, claims, signature = token.split(".")
    with tempfile.NamedTemporaryFile() as file:
        file.write(unpack(signature))
        file.flush()
        verdict = subprocess.run(["openssl", "dgst", "-sha256", "-verify", f"{FOLDER}/{public_key}", "-signature", file.name],
                                 input=f"{head}.{claims}".encode(), capture_output=True)
    need(verdict.returncode == 0, "the assertion's signature is wrong")
    return json.loads(unpack(head)), json.loads(unpack(claims))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, file, *words):
        with open(f"{FOLDER}/{file}", "a") as f:
            print(*words, file=f)

    # Who sends?

    def signature(self, service):
        scheme, fields = self.headers["Authorization"].split(" ", 1)
        fields = dict(f.strip().split("=", 1) for f in fields.split(","))
        need(scheme == "AWS4-HMAC-SHA256", "another algorithm")
        key_id, date, region, for_service, end = fields["Credential"].split("/")
        need((for_service, end) == (service, "aws4_request"), f"signed for {for_service}")
        secret, session = KEYS[key_id]
        need(self.headers.get("X-Amz-Security-Token", "") == session, "another session")
        stamp = self.headers["X-Amz-Date"]
        need(abs(time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.mktime(time.gmtime())) < 300, "too old")
        names = fields["SignedHeaders"].split(";")
        need({"host", "x-amz-date"} <= set(names), "too few headers are signed")
        url = urllib.parse.urlsplit(self.path)
        query = sorted((quote(k), quote(v)) for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        canonical = "\n".join([self.command, "/".join(quote(p) for p in url.path.split("/")), "&".join(f"{k}={v}" for k, v in query),
                               *(f"{n}:{' '.join(self.headers[n].split())}" for n in names), "", ";".join(names),
                               hashlib.sha256(self.body).hexdigest()])
        text = "\n".join([scheme, stamp, f"{date}/{region}/{service}/{end}", hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in (date, region, service, end, text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        need(hmac.compare_digest(key.hex(), fields["Signature"]), "the signature is wrong")
        return f"{key_id}/{region}"

    def sender(self, service):
        authorization = self.headers.get("Authorization", "")
        if authorization.startswith("Bearer "):
            token = authorization.removeprefix("Bearer ")
            need(token in TOKENS, "no such token")
            need(time.time() < TOKENS[token], "the token is over")
            return token.split(".")[0]
        need(authorization, "nothing")
        return self.signature(service)

    def receive(self, name, service):
        try:
            status, who = 204, self.sender(service)
        except (Denied, KeyError, ValueError) as e:
            status, who = 403, repr(e)
        self.note("auth", name, status, who)
        self.answer(status)

    # Who is given what?

    def keys(self, key_id):
        secret, session = KEYS[key_id]
        return {"Code": "Success", "AccessKeyId": key_id, "SecretAccessKey": secret, "Token": session, "Expiration": soon()}

    def token(self, who, seconds=3600, number=int):
        name = f"{who}.{len(TOKENS)}"
        TOKENS[name] = time.time() + seconds
        return {"access_token": name, "token_type": "Bearer", "expires_in": number(seconds)}

    def sts(self, form):
        need(form["Version"] == "2011-06-15", "another version")
        if form["Action"] == "AssumeRole":
            need(form["RoleArn"] == "arn:aws:iam::1:role/writer" and form["ExternalId"] == "out side", "another role")
            key_id = "ASROLE"
            self.note("issued", "sts-by", self.signature("sts"))
        else:
            need(form["RoleArn"] == "arn:aws:iam::1:role/pod" and form["WebIdentityToken"] == "pod token", "another pod")
            key_id = "ASWEB"
        secret, session = KEYS[key_id]
        return f"""<{form["Action"]}Response><{form["Action"]}Result><Credentials><AccessKeyId>{key_id}</AccessKeyId>
            <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{session}</SessionToken><Expiration>{soon()}</Expiration>
            </Credentials></{form["Action"]}Result></{form["Action"]}Response>"""

    def azure(self, form):
        need(form["grant_type"] == "client_credentials" and form["scope"] == "https://monitor.azure.com//.default", "another scope")
        if "client_secret" in form:
            need(form["client_secret"] == "azure secret", "another secret")
            return self.token("azure-oauth", 4)
        assertion = form["client_assertion"]
        if assertion == "pod token":
            return self.token("azure-workload")
        head, claims = verify_jwt(assertion, "azure.pub")
        thumb = open(f"{FOLDER}/azure.x5t").read().strip()
        need(unpack(head["x5t"]).hex() == thumb.lower(), "another certificate")
        need(claims["iss"] == claims["sub"] == form["client_id"] and claims["aud"].endswith(self.path), "another audience")
        return self.token("azure-chain" if "x5c" in head else "azure-certificate")

    def google(self, form):
        if form["grant_type"] == "refresh_token":
            need(form["refresh_token"] == "refresh", "another user")
            return self.token("google-user")
        head, claims = verify_jwt(form["assertion"], "google.pub")
        need(head["kid"] == "k1" and claims["iss"] == "me@x" and claims["scope"].endswith("/auth/monitoring.write"), "another claim")
        return self.token("google-key")

    def give(self):
        url = urllib.parse.urlsplit(self.path)
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/sts":
            return self.sts(form)
        if url.path == "/tenant-1/oauth2/v2.0/token":
            return self.azure(form)
        if url.path == "/google":
            return self.google(form)
        if url.path == "/container":
            need(self.headers["Authorization"] == "box token", "another box")
            return self.keys("ASBOX")
        if url.path == "/latest/api/token":
            need(self.command == "PUT" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"], "no lifetime")
            return "machine token"
        if url.path.startswith("/latest/meta-data/iam/security-credentials/"):
            need(self.headers["X-aws-ec2-metadata-token"] == "machine token", "another machine")
            return self.keys("ASMACHINE") if url.path.endswith("/the-role") else "the-role"
        if url.path == "/metadata/identity/oauth2/token":
            need(self.headers["Metadata"] == "true" and query["resource"] == "https://monitor.azure.com/", "another resource")
            return self.token("azure-managed-" + query.get("client_id", "own")[:3], number=str)
        if url.path == "/app-service":
            need(self.headers["X-IDENTITY-HEADER"] == "app secret" and query["api-version"] == "2019-08-01", "another app")
            return self.token("azure-app")
        if url.path == "/computeMetadata/v1/instance/service-accounts/default/token":
            need(self.headers["Metadata-Flavor"] == "Google" and "scopes" in query, "no flavour")
            return self.token("google-machine")
        raise Denied("no such thing")

    def serve(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith("/write/"):
            return self.receive(path.split("/")[2], "aps" if path != "/write/service" else "other")
        if path == "/api/v2/alerts":
            return self.receive("alerts", "aps")
        if path == "/":
            return self.answer(200)
        if os.path.exists(f"{FOLDER}/down"):
            return self.answer(500, b"down as the test wants it")
        try:
            out = self.give()
        except (Denied, KeyError, ValueError) as e:
            self.note("issued", path, "denied", repr(e))
            return self.answer(400, f"<Error><Code>Denied</Code><Message>{e}</Message></Error>".encode(), "text/xml")
        self.note("issued", path)
        self.answer(200, (out if isinstance(out, str) else json.dumps(out)).encode())

    do_GET = do_POST = do_PUT = serve

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
