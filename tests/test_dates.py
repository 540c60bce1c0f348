"""The date of a second is the IMF-fixdate of RFC 9110 section 5.6.7."""

import pytest

from ashttpd.http.dates import Second, second_of


@pytest.mark.parametrize(
    ("epoch", "date"),
    [
        (784_111_777, b"Sun, 06 Nov 1994 08:49:37 GMT"),  # the RFC's own example
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_483_228_799, b"Sat, 31 Dec 2016 23:59:59 GMT"),
        (2**32, b"Sun, 07 Feb 2106 06:28:16 GMT"),
    ],
)
def test_a_second_has_the_date_of_the_rfc(epoch: int, date: bytes) -> None:
    assert second_of(epoch) == Second(epoch, date)
