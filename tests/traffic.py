"""Mixed requests of many clients at once, in batches, with every answer held against the site.

A site may be replaced while this goes on: an answer has to be wholly of one of its versions, which
its entity tag names.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from tests.servers import Client, Response, request

HOST: Final = "site.example"
# From a page to a body of megabytes; what is asked for more often comes first.
SIZES: Final = {
    "page.html": 700,
    "style.css": 3_000,
    "code.js": 40_000,
    "picture.bin": 100_000,
    "film.bin": 3_000_000,
}
_WEIGHTS: Final = (60, 40, 20, 10, 1)
MOST_PIPELINED: Final = 8
# Batches on a connection before the client closes it and makes another.
_BATCHES: Final = 12
_PART_HEAD: Final = re.compile(rb"Content-Range: bytes (\d+)-(\d+)/(\d+)")


def make_content(version: int) -> dict[str, bytes]:
    """Files whose bytes and lengths belong to one version of the site."""
    noise = random.Random(version).randbytes
    return {name: noise(size + version) for name, size in SIZES.items()} | {
        "directory/index.html": b"<!DOCTYPE html><title>%d</title>\n" % version
    }


@dataclass(frozen=True, slots=True)
class Version:
    """What a version of the site holds: the bytes of each path, and the tag of them."""

    bodies: Mapping[str, bytes] = field(repr=False)
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was sent, and what holds its answer against the versions."""

    wire: bytes
    method: str
    check: Callable[[Response], None]


class Traffic:
    """Requests to a site that is at each moment one of some versions."""

    def __init__(self, versions: Sequence[Version]) -> None:
        """Any of these versions may answer."""
        self._versions = versions

    def run(self, port: int, clients: int, requests: int) -> Counter[int]:
        """Let so many clients send so many requests each; returns how often each status came.

        A client that has seen enough of a large body vanishes in the middle of it now and then,
        which is nobody else's business. Raises AssertionError for any wrong answer.
        """
        total: Counter[int] = Counter()
        with ThreadPoolExecutor(clients) as pool:
            runs = [pool.submit(self._client, port, seed, requests) for seed in range(clients)]
            for run in runs:
                total += run.result()
        return total

    def _client(self, port: int, seed: int, requests: int) -> Counter[int]:
        chance = random.Random(seed)
        statuses: Counter[int] = Counter()
        while statuses.total() < requests:
            with Client(port) as client:
                for _ in range(_BATCHES):
                    batch = [self._ask(chance) for _ in range(chance.randint(1, MOST_PIPELINED))]
                    client.send(b"".join(asked.wire for asked in batch))
                    for asked in batch:
                        response = client.read(to_head=asked.method == "HEAD")
                        asked.check(response)
                        statuses[response.status] += 1
            if chance.random() < 0.1:
                vanish(port)
        return statuses

    def _ask(self, chance: random.Random) -> Asked:
        """Return a request of a random kind."""
        (name,) = chance.choices(list(SIZES), _WEIGHTS)
        path = f"/{name}"
        version = chance.choice(self._versions)
        kinds = (self._whole, self._whole, self._head, self._known, self._part, self._resumed)
        kind = chance.choice((*kinds, self._parts, self._other, self._other))
        return kind(chance, path, version)

    def _asked(
        self, path: str, check: Callable[[Response], None], *fields: str, method: str = "GET"
    ) -> Asked:
        return Asked(request(path, HOST, "User-Agent: test", *fields, method=method), method, check)

    def _version_of(self, path: str, response: Response) -> Version:
        """Return the version that answered."""
        tag = response.fields["etag"]
        found = [version for version in self._versions if version.tags[path] == tag]
        assert found, f"{path} has the tag {tag}, which no version gave it"
        return found[0]

    def _check_whole(self, path: str, response: Response) -> None:
        assert response.status == 200
        assert response.body == self._version_of(path, response).bodies[path]

    def _whole(self, _chance: random.Random, path: str, _version: Version) -> Asked:
        return self._asked(path, lambda response: self._check_whole(path, response))

    def _head(self, _chance: random.Random, path: str, _version: Version) -> Asked:
        def check(response: Response) -> None:
            assert response.status == 200
            length = len(self._version_of(path, response).bodies[path])
            assert response.fields["content-length"] == str(length)

        return self._asked(path, check, method="HEAD")

    def _known(self, _chance: random.Random, path: str, version: Version) -> Asked:
        def check(response: Response) -> None:
            if response.status == 304:
                assert response.fields["etag"] == version.tags[path]
            else:
                self._check_whole(path, response)
                assert response.fields["etag"] != version.tags[path]

        return self._asked(path, check, f"If-None-Match: {version.tags[path]}")

    def _part(self, chance: random.Random, path: str, _version: Version) -> Asked:
        first, last = sorted(chance.choices(range(SIZES[path[1:]]), k=2))
        return self._asked(
            path,
            lambda response: self._check_part(path, response, first, last),
            f"Range: bytes={first}-{last}",
        )

    def _check_part(self, path: str, response: Response, first: int, last: int) -> None:
        assert response.status == 206
        body = self._version_of(path, response).bodies[path]
        assert response.fields["content-range"] == f"bytes {first}-{last}/{len(body)}"
        assert response.body == body[first : last + 1]

    def _resumed(self, chance: random.Random, path: str, version: Version) -> Asked:
        first = chance.randrange(SIZES[path[1:]])

        def check(response: Response) -> None:
            if response.fields["etag"] == version.tags[path]:
                self._check_part(path, response, first, len(version.bodies[path]) - 1)
            else:
                self._check_whole(path, response)

        fields = (f"Range: bytes={first}-", f"If-Range: {version.tags[path]}")
        return self._asked(path, check, *fields)

    def _parts(self, chance: random.Random, path: str, _version: Version) -> Asked:
        size = SIZES[path[1:]]
        wanted = [(chance.randrange(0, size // 4), size // 4), (size // 2, size // 2 + 9)]

        def check(response: Response) -> None:
            assert response.status == 206
            body = self._version_of(path, response).bodies[path]
            _, boundary = response.fields["content-type"].split("boundary=")
            empty, *parts, end = response.body.split(b"--" + boundary.encode())
            assert (empty, end) == (b"\r\n", b"--\r\n")
            for part, (first, last) in zip(parts, wanted, strict=True):
                head, _, data = part.partition(b"\r\n\r\n")
                found = _PART_HEAD.search(head)
                assert found
                assert [int(group) for group in found.groups()] == [first, last, len(body)]
                assert data == body[first : last + 1] + b"\r\n"

        listed = ", ".join(f"{first}-{last}" for first, last in wanted)
        return self._asked(path, check, f"Range: bytes={listed}")

    def _other(self, chance: random.Random, path: str, version: Version) -> Asked:
        """What is no plain file: an error, a redirect, another method, a failed condition."""

        def answers(status: int) -> Callable[[Response], None]:
            def check(response: Response) -> None:
                assert response.status == status

            return check

        return chance.choice(
            (
                self._asked(f"/nothing/{chance.random()}", answers(404)),
                self._asked("/directory?a=b", answers(301)),
                self._asked(path, answers(204), method="OPTIONS"),
                self._asked(path, answers(412), 'If-Match: "never"'),
                self._asked(path, answers(416), "Range: bytes=99999999-"),
                self._asked(path, answers(405), "Content-Length: 0", method="POST"),
            )
        )


def vanish(port: int) -> None:
    """Take a part of a large body, and reset the connection."""
    with Client(port) as client:
        client.send(request("/film.bin", HOST))
        client.read_bytes(50_000)
        client.reset()
