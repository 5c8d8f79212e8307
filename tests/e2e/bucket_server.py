# SPDX-License-Identifier: MIT
"""A bucket for programs that speak S3: they read it, the test alone changes it; signatures are not looked at."""

import contextlib
import email.utils
import hashlib
import http.server
import re
import threading
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 20  # keys in an answer, however many are asked for


class Object:
    """What a key holds. S3 keeps whole seconds; an object is older than any file that a test makes of it."""

    def __init__(self, data, age):
        self.data = data
        self.time = int(time.time()) - age
        self.etag = '"' + hashlib.md5(data).hexdigest() + '"'


class Bucket:
    """Keys and their bytes, and the requests that came: reads is [(key, first byte)] since forget_reads()."""

    def __init__(self, name):
        self.name = name
        self.objects = {}
        self.reads = []
        self.pages_after_a_first = 0
        self.url = None
        self.held = None
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.by_hand = False

    def put(self, key, data, age=5000):
        self.objects[key] = Object(data, age)

    def hold(self, key, by_hand=False):
        """The first range of this key is sent only after one behind it, or once the test sets let_go."""
        self.held, self.by_hand = key, by_hand
        self.asked.clear()
        self.let_go.clear()

    def forget_reads(self):
        self.reads = []


def listing(bucket, words):
    """ListObjectsV2: one page of keys and of what the delimiter makes one of, in the order of their bytes."""
    prefix, delimiter = words.get("prefix", ""), words.get("delimiter", "")
    after = (words.get("continuation-token") or words.get("start-after", "")).encode()
    room = min(int(words.get("max-keys", PAGE)), PAGE)
    spell = quote if words.get("encoding-type") == "url" else escape
    out, last, more = [], None, False
    for key in sorted(bucket.objects, key=str.encode):
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if end < 0 else key[:end + len(delimiter)]
        if name == last or name.encode() <= after:
            continue
        if len(out) == room:
            more = True
            break
        last = name
        if end < 0:
            o = bucket.objects[key]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(o.time))
            out.append(f"<Contents><Key>{spell(name)}</Key><LastModified>{when}</LastModified>"
                       f"<ETag>{escape(o.etag)}</ETag><Size>{len(o.data)}</Size></Contents>")
        else:
            out.append(f"<CommonPrefixes><Prefix>{spell(name)}</Prefix></CommonPrefixes>")
    bucket.pages_after_a_first += "continuation-token" in words
    head = (f"<Name>{bucket.name}</Name><Prefix>{spell(prefix)}</Prefix><KeyCount>{len(out)}</KeyCount>"
            f"<MaxKeys>{room}</MaxKeys>")
    if delimiter:
        head += f"<Delimiter>{spell(delimiter)}</Delimiter>"
    if "encoding-type" in words:
        head += "<EncodingType>url</EncodingType>"
    head += f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    if more:
        head += f"<NextContinuationToken>{escape(last)}</NextContinuationToken>"
    return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{head}{''.join(out)}</ListBucketResult>").encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one piece
    bucket = None

    def log_message(self, *_):
        pass

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code></Error>".encode(), Content_Type="application/xml")

    def object(self, key):
        o = self.bucket.objects.get(key)
        if o is None:
            return self.refuse(404, "NoSuchKey")
        words = {"ETag": o.etag, "Last_Modified": email.utils.formatdate(o.time, usegmt=True),
                 "Accept_Ranges": "bytes", "Content_Type": "binary/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.command == "HEAD" or not asked:
            if self.command == "GET":
                self.bucket.reads.append((key, 0))
            return self.answer(200, o.data, **words)
        first, end = int(asked[1]), min(int(asked[2] or len(o.data)) + 1, len(o.data))
        if first >= end:
            return self.refuse(416, "InvalidRange")
        self.bucket.reads.append((key, first))
        if key == self.bucket.held and first == 0:
            self.bucket.asked.set()
            if not self.bucket.let_go.wait(20):
                return self.refuse(500, "InternalError")
        self.answer(206, o.data[first:end], Content_Range=f"bytes {first}-{end - 1}/{len(o.data)}", **words)
        if key == self.bucket.held and first > 0 and not self.bucket.by_hand:
            self.bucket.let_go.set()

    def do_GET(self):
        url = urlsplit(self.path)
        name, _, key = unquote(url.path).removeprefix("/").partition("/")
        if name != self.bucket.name:
            self.refuse(404, "NoSuchBucket")
        elif key:
            self.object(key)
        else:
            words = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
            if self.command == "GET" and words.get("list-type") != "2":
                self.refuse(501, "NotImplemented")
            else:
                self.answer(200, listing(self.bucket, words), Content_Type="application/xml")

    do_HEAD = do_GET

    def do_PUT(self):
        self.close_connection = True
        self.refuse(403, "AccessDenied")

    do_POST = do_DELETE = do_PUT


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that hangs up is none of the test's business."""


@contextlib.contextmanager
def serving(name):
    """An empty bucket on a port of this machine, for the length of a `with`."""
    bucket = Bucket(name)
    server = Server(("127.0.0.1", 0), type("BucketHandler", (Handler,), {"bucket": bucket}))
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
