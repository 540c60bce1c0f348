"""All engines answer the same bytes to the same client, whatever it does and whatever is deployed.

And they are the bytes that the core plans. Dates may differ by a second or two.
"""

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fuzz.arena import Talk, arena
from fuzz.sites import NAMES, PLAIN_REQUESTS, REQUESTS
from fuzz.strategies import BREAKS, broken_requests, pieces

# It takes a while to find the shortest story that ends badly.
pytestmark = pytest.mark.timeout(600)
TALKS: Final = 3
NUMBERS: Final = st.integers(0, TALKS - 1)
NOISE: Final = st.binary(min_size=1, max_size=20)
STREAMS: Final = st.lists(
    REQUESTS | PLAIN_REQUESTS | broken_requests(sorted(BREAKS)) | NOISE, min_size=1, max_size=4
).map(b"".join)


@settings(max_examples=max(1, settings().max_examples // 5))
class Engines(RuleBasedStateMachine):
    """Some clients that each talk to every engine at once."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = arena()
        self.talks = [Talk(self.arena) for _ in range(TALKS)]

    def talk(self, number: int) -> Talk:
        """Return a talk in which one may ask for something."""
        if not self.talks[number].may_send:
            self.finish(number)
        return self.talks[number]

    @rule(number=NUMBERS, data=st.data(), stream=STREAMS, alone=st.booleans())
    def send_pieces(self, number: int, data: st.DataObject, stream: bytes, alone: bool) -> None:
        talk = self.talk(number)
        for piece in data.draw(pieces(stream)):
            if talk.may_send:
                talk.send(piece, alone=alone)

    @rule(number=NUMBERS, requests=st.lists(PLAIN_REQUESTS | REQUESTS, min_size=1, max_size=3))
    def ask(self, number: int, requests: list[bytes]) -> None:
        self.talk(number).send(b"".join(requests), alone=False)

    @rule(number=NUMBERS, share=st.floats(0, 1))
    def read(self, number: int, share: float) -> None:
        self.talks[number].read_some(share)

    @rule(number=NUMBERS)
    def half_close(self, number: int) -> None:
        self.talk(number).half_close()

    @rule(number=NUMBERS)
    def finish(self, number: int) -> None:
        self.talks[number].finish()
        self.talks[number] = Talk(self.arena)

    @rule(number=NUMBERS, reset=st.booleans())
    def leave(self, number: int, reset: bool) -> None:
        if reset:
            self.talks[number].reset()
        else:
            self.talks[number].close()
        self.talks[number] = Talk(self.arena)

    @rule(site=st.sampled_from(NAMES))
    def deploy(self, site: str) -> None:
        for talk in self.talks:
            talk.begin_last()
        self.arena.swap(site)

    def teardown(self) -> None:
        try:
            for talk in self.talks:
                talk.finish()
        finally:
            for talk in self.talks:
                talk.close()
        self.arena.assert_well()


TestEngines = Engines.TestCase
