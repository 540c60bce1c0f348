"""Sets the profile before any property is defined, which is when hypothesis looks at it."""

from collections.abc import Iterator

import pytest

from fuzz import profiles
from fuzz.shared import put_away

profiles.load()


@pytest.fixture(scope="session", autouse=True)
def _shared_things_are_put_away() -> Iterator[None]:
    yield
    put_away()
