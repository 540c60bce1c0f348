"""Dates are written as the IMF-fixdate of RFC 9110 section 5.6.7 and read in its three forms."""

import pytest

from ashttpd.http.dates import Second, parse_date, second_of


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


NOW = 1_700_000_000  # in November 2023


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"Mon, 06 Nov 1994 08:49:37 GMT",  # not the right day of the week, which nobody asked
    ],
)
def test_each_form_of_date_is_read(text: bytes) -> None:
    assert parse_date(text, NOW) == 784_111_777


@pytest.mark.parametrize(
    ("year", "read"), [(b"73", 2073), (b"74", 1974), (b"99", 1999), (b"00", 2000), (b"23", 2023)]
)
def test_a_year_of_two_digits_is_at_most_50_years_ahead(year: bytes, read: int) -> None:
    short = parse_date(b"Sunday, 06-Nov-%b 08:49:37 GMT" % year, NOW)
    assert short == parse_date(b"Sun, 06 Nov %d 08:49:37 GMT" % read, NOW)


def test_a_leap_second_is_the_one_before_it() -> None:
    second_59, second_60 = (
        parse_date(b"Sat, 31 Dec 2016 23:59:%d GMT" % second, NOW) for second in (59, 60)
    )
    assert second_60 == second_59 == 1_483_228_799


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 gmt",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Sun Nov 6 08:49:37 1994",
        b"Sun Nov  6 08:49:37 1994 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:00 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_what_is_no_date_is_none(text: bytes) -> None:
    assert parse_date(text, NOW) is None
