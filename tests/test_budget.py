"""The budget of open files: every file has a purpose, and sites come before connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.budget import (
    LEAST_CONNECTIONS,
    LEAST_RESERVE,
    MOST_CONNECTIONS,
    Budget,
    FilesError,
    FilesNeeded,
    divide,
)
from ashttpd.vhosts.room import DEPLOY_PLACES

needs = st.builds(
    FilesNeeded,
    engine=st.integers(1, 1300),
    per_site=st.integers(1, 2),
    waiting=st.integers(0, 256),
)
counts = st.integers(0, 5000)
limits = st.one_of(st.integers(0, 5000), st.integers(0, 1 << 31))


def _divided(allowed: int, needed: FilesNeeded, sites: int, listeners: int) -> Budget | None:
    try:
        return divide(allowed, needed, sites, listeners)
    except FilesError:
        return None


@given(limits, needs, counts, st.integers(1, 50))
def test_all_that_needs_files_gets_some_and_together_no_more_than_there_are(
    allowed: int, needed: FilesNeeded, sites: int, listeners: int
) -> None:
    budget = _divided(allowed, needed, sites, listeners)
    if budget is None:
        return
    assert LEAST_CONNECTIONS <= budget.connections <= MOST_CONNECTIONS
    assert budget.waiting == min(needed.waiting, budget.connections)
    assert budget.site_files == sites * needed.per_site
    assert budget.reserve >= LEAST_RESERVE
    assert budget.most_webroots * needed.per_site <= budget.site_files + budget.reserve
    assert budget.most_webroots >= sites + DEPLOY_PLACES
    # Never less than for the sites that there are, except where that takes half of what is left.
    left = allowed - budget.always - budget.site_files
    assert budget.reserve >= min(budget.site_files, left // 2 - LEAST_RESERVE)


@given(needs, counts, st.integers(1, 50))
def test_the_number_that_is_named_is_the_least_that_is_enough(
    needed: FilesNeeded, sites: int, listeners: int
) -> None:
    with pytest.raises(FilesError) as caught:
        divide(0, needed, sites, listeners)
    least = int(str(caught.value).split()[0])
    assert _divided(least, needed, sites, listeners) is not None
    assert _divided(least - 1, needed, sites, listeners) is None


@given(limits, needs, counts)
def test_more_files_are_never_fewer_connections(
    allowed: int, needed: FilesNeeded, sites: int
) -> None:
    fewer = _divided(allowed, needed, sites, 1)
    more = _divided(allowed + 1, needed, sites, 1)
    assert fewer is None or (more is not None and more.connections >= fewer.connections)


def test_a_usual_limit_leaves_most_for_connections() -> None:
    budget = divide(1024, FilesNeeded(engine=42, per_site=1, waiting=64), 3, 1)
    assert (budget.connections, budget.waiting, budget.reserve) == (772, 64, 128)
    assert str(budget) == (
        "open files: 1024 allowed; 772 for connections and 64 that wait, 3 for sites (now 3), "
        "128 for deploys and more sites, 57 for the engine, listeners and logs"
    )
