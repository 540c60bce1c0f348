#!/usr/bin/env bash
# fsspec 2026.9.0 (with aiohttp 3.14.5) asks for the length of a file with `Accept-Encoding:
# identity` and for its parts with `Accept-Encoding: gzip, deflate`, and does not compare the entity
# tags. A server may answer a range from the gzip copy (RFC 9110 sections 12.5.3, 14.2 and 15.3.7):
# the one below does, with a tag of its own for each copy, Vary and Content-Encoding. Then a read
# behind the end of the copy gets 416, which fsspec takes for the end of the file: the program gets
# no bytes and no error.
#
# Seen: `read 100 bytes at 200000 of 256000: b''`. Python 3.11 or newer; exits with 1 when that is
# not so any more.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    fsspec==2026.9.0 aiohttp==3.14.5

cat >"$directory/run.py" <<'END'
import gzip
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec

PLAIN = b"0123456789abcde\n" * 16_000
COPIES = {"identity": (PLAIN, '"plain"'), "gzip": (gzip.compress(PLAIN, mtime=0), '"gzip"')}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        accepted = self.headers.get("Accept-Encoding", "")
        coding = "gzip" if "gzip" in accepted else "identity"
        body, tag = COPIES[coding]
        whole, status, fields = len(body), 200, {"ETag": tag, "Vary": "Accept-Encoding"}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part and self.command == "GET":
            start, stop = int(part[1]), min(int(part[2]) + 1, whole)
            if start >= whole:
                body, status, fields = b"", 416, {"Content-Range": f"bytes */{whole}"}
            else:
                body, status = body[start:stop], 206
                fields["Content-Range"] = f"bytes {start}-{stop - 1}/{whole}"
        if status != 416 and coding == "gzip":
            fields["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in {**fields, "Accept-Ranges": "bytes", "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD = answer

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
Thread(target=server.serve_forever, daemon=True).start()
with fsspec.open(f"http://127.0.0.1:{server.server_port}/data", cache_type="none") as file:
    file.seek(200_000)
    print(f"read 100 bytes at 200000 of {file.size}: {file.read(100)!r}")
END
seen=$("$directory/venv/bin/python" "$directory/run.py")
echo "$seen"
test "$seen" = "read 100 bytes at 200000 of 256000: b''"
