"""When schedules run: EventBridge's expressions against a brute force over every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.schedules.recurrence import parse
from neuralstream_core.time import from_micros, to_micros

MINUTE = timedelta(minutes=1)
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
CLOCK_CHANGES = {
    "UTC": datetime(2026, 3, 1, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 10, 25, tzinfo=UTC),
    "America/New_York": datetime(2027, 3, 14, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, tzinfo=UTC),
    "Asia/Kolkata": datetime(2026, 12, 31, tzinfo=UTC),
}


def runs(expression, timezone, start, end):
    """Every run after ``start`` and before ``end``."""
    recurrence, found = parse(expression, timezone), []
    moment = recurrence.next_after(to_micros(start))
    while moment is not None and from_micros(moment) < end:
        found.append(from_micros(moment))
        moment = recurrence.next_after(moment)
    return found


@st.composite
def numbers(draw, low, high):
    """One field of numbers: its text, and the set of values it means."""
    every = set(range(low, high + 1))
    one = st.integers(low, high)
    items, meant = [], set()
    for _ in range(draw(st.integers(1, 3))):
        a, b = sorted((draw(one), draw(one)))
        step = draw(st.integers(1, max(1, (high - low) // 2)))
        text, values = draw(
            st.sampled_from(
                [
                    ("*", every),
                    (f"{a}", {a}),
                    (f"{a}-{b}", set(range(a, b + 1))),
                    (f"{a}/{step}", set(range(a, high + 1, step))),
                    (f"*/{step}", set(range(low, high + 1, step))),
                    (f"{a}-{b}/{step}", set(range(a, b + 1, step))),
                ]
            )
        )
        items.append(text)
        meant |= values
    return ",".join(items), meant


@st.composite
def days(draw):
    """Both day fields, and which dates they mean."""
    if draw(st.booleans()):
        text, meant = draw(numbers(1, 31))
        return text, "?", lambda date: date.day in meant
    text, meant = draw(numbers(1, 7))
    if draw(st.booleans()):
        for number, name in enumerate(DAYS, 1):
            text = ",".join(name if item == str(number) else item for item in text.split(","))
    return "?", text, lambda date: date.isoweekday() % 7 + 1 in meant


@settings(deadline=None, max_examples=60)
@given(
    minutes=numbers(0, 59),
    hours=numbers(0, 23),
    day=days(),
    months=numbers(1, 12),
    zone=st.sampled_from(ZONES),
    offset=st.integers(0, 36 * 60),
    seconds=st.integers(0, 59),
)
def test_cron_runs_at_each_matching_local_minute_once_clock_changes_included(
    minutes, hours, day, months, zone, offset, seconds
):
    """A skipped local minute is never reached by a UTC one; a repeated one counts at its first passing."""
    expression = f"cron({minutes[0]} {hours[0]} {day[0]} {months[0]} {day[1]} 2026-2027)"
    start = CLOCK_CHANGES[zone] - timedelta(hours=30) + offset * MINUTE + timedelta(seconds=seconds)
    end = start + timedelta(days=2)
    expected, moment = [], start.replace(second=0) + MINUTE
    while moment < end:
        local = moment.astimezone(ZoneInfo(zone))
        if (
            local.fold == 0
            and local.minute in minutes[1]
            and local.hour in hours[1]
            and local.month in months[1]
            and day[2](local)
        ):
            expected.append(moment)
        moment += MINUTE
    assert runs(expression, zone, start, end) == expected


def last_day(date):
    return (date + timedelta(days=1)).day == 1


def nearest_weekday(year, month, day):
    """The weekday nearest to a date, in its month."""
    wanted = datetime(year, month, day, tzinfo=UTC)
    distance = [0, -1, 1, -2, 2]
    for by in distance:
        date = wanted + timedelta(days=by)
        if date.month == month and date.weekday() < 5:
            return date.day
    raise AssertionError


SPECIALS = {
    "L * ?": last_day,
    "? * L": lambda date: date.isoweekday() == 6,
    "? * 6L": lambda date: (
        date.isoweekday() == 5 and (date + timedelta(days=7)).month != date.month
    ),
    "? * SUNL": lambda d: d.isoweekday() == 7 and (d + timedelta(days=7)).month != d.month,
    "? * 3#2": lambda date: date.isoweekday() == 2 and 8 <= date.day <= 14,
    "? * SUN#1": lambda date: date.isoweekday() == 7 and date.day <= 7,
    "? * FRI#5": lambda date: date.isoweekday() == 5 and date.day >= 29,
    "1W * ?": lambda date: date.day == nearest_weekday(date.year, date.month, 1),
    "15W * ?": lambda date: date.day == nearest_weekday(date.year, date.month, 15),
    "28W * ?": lambda date: date.day == nearest_weekday(date.year, date.month, 28),
    "29 FEB ?": lambda date: (date.month, date.day) == (2, 29),
    "31 4,5 ?": lambda date: (date.month, date.day) == (5, 31),
    "? JAN-MAR MON-FRI": lambda date: date.month <= 3 and date.weekday() < 5,
    "? * 7,1": lambda date: date.weekday() >= 5,
}


@pytest.mark.parametrize("fields", SPECIALS)
def test_days_by_their_place_in_the_month_are_those_of_the_calendar(fields):
    start, end = datetime(2026, 1, 1, 4, tzinfo=UTC), datetime(2032, 1, 1, 4, tzinfo=UTC)
    expected = [
        date
        for n in range((end - start).days)
        if SPECIALS[fields](date := start + timedelta(days=n, hours=1))
    ]
    assert runs(f"cron(0 5 {fields} *)", "UTC", start, end) == expected
    assert expected


def test_a_time_that_clocks_skip_is_not_run_and_one_they_repeat_is_run_once():
    spring = runs(
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
        datetime(2026, 3, 28, 12, tzinfo=UTC),
        datetime(2026, 3, 31, tzinfo=UTC),
    )
    assert spring == [datetime(2026, 3, 30, 0, 30, tzinfo=UTC)]
    autumn = runs(
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
        datetime(2026, 10, 24, 12, tzinfo=UTC),
        datetime(2026, 10, 26, tzinfo=UTC),
    )
    assert autumn == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


@pytest.mark.parametrize("expression", ["cron(0 0 30 2 ? *)", "cron(0 0 1 1 ? 2020)"])
def test_a_time_that_never_comes_is_none(expression):
    assert parse(expression).next_after(to_micros(datetime(2026, 1, 1, tzinfo=UTC))) is None


@given(
    st.integers(1, 999_999),
    st.sampled_from(["minute", "hour", "day"]),
    st.integers(0, 2**51),
    st.integers(0, 2**51),
)
def test_a_rate_runs_in_whole_intervals_after_its_start(count, unit, anchor, moment):
    seconds = {"minute": 60, "hour": 3600, "day": 86400}[unit]
    expression = f"rate({count} {unit}{'s' if count > 1 else ''})"
    following = parse(expression, anchor=anchor).next_after(moment)
    interval = count * seconds * 1_000_000
    assert following > max(moment, anchor)
    assert (following - anchor) % interval == 0
    assert following - interval <= max(moment, anchor)


def test_one_time_is_local_and_does_not_come_again():
    once = parse("at(2026-07-01T03:00:00)", "Europe/Berlin")
    moment = to_micros(datetime(2026, 7, 1, 1, tzinfo=UTC))
    assert once.next_after(0) == moment
    assert once.next_after(moment) is None


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(5 seconds)",
        "rate(-1 hours)",
        "rate( 5 minutes)",
        "cron(0 3 * * *)",
        "cron(0 3 * * ? * *)",
        "cron(0  3 * * ? *)",
        "cron(0 3 * * * *)",
        "cron(0 3 ? * ? *)",
        "cron(60 3 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 3 0 * ? *)",
        "cron(0 3 32 * ? *)",
        "cron(0 3 * 13 ? *)",
        "cron(0 3 ? * 0 *)",
        "cron(0 3 ? * 8 *)",
        "cron(0 3 ? * MON#6 *)",
        "cron(0 3 ? * MON#1,TUE#2 *)",
        "cron(0 3 ? * FRI-MON *)",
        "cron(0 22-2 * * ? *)",
        "cron(0/0 3 * * ? *)",
        "cron(0/61 3 * * ? *)",
        "cron(0 3 LW * ? *)",
        "cron(0 3 1,L * ? *)",
        "cron(0 3 31W * ? *)",
        "cron(0 3 1,15W * ? *)",
        "cron(? 3 * * ? *)",
        "cron(, 3 * * ? *)",
        "cron(0 3 * * ? 1969)",
        "cron(0 3 * * ? 2100)",
        "cron(0 3 ? * FR\u0131 *)",
        "cron(٣ 3 * * ? *)",
        "cron(H 3 * * ? *)",
        "cron(0 3 * * ? *) ",
        "at(2026-13-01T00:00:00)",
        "at(2026-01-01)",
        "at(2026-03-29T02:30:00)",
        "@daily",
        "0 3 * * *",
    ],
)
def test_what_eventbridge_would_refuse_is_refused_with_its_place(expression):
    with pytest.raises(Invalid) as refused:
        parse(expression, "Europe/Berlin")
    assert [error.loc for error in refused.value.errors] == ["expression"]
    assert refused.value.code == "invalid_expression"


@pytest.mark.parametrize(
    "timezone", ["", "Berlin", "europe/berlin", "UTC+1", "../etc/passwd", "Europe", "localtime"]
)
def test_a_time_zone_that_does_not_exist_is_refused_with_its_place(timezone):
    with pytest.raises(Invalid) as refused:
        parse("rate(1 hour)", timezone)
    assert [error.loc for error in refused.value.errors] == ["timezone"]


@given(st.text("0123456789*?/,-LW#MONJA() ", max_size=30))
def test_any_text_is_an_expression_or_refused(text):
    for expression in (text, f"cron({text})", f"rate({text})"):
        try:
            recurrence = parse(expression)
        except Invalid:
            continue
        following = recurrence.next_after(0)
        assert following is None or following > 0


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["*", "?", "L", "1", "5W", "2#3", "6L", "0/5", "MON", "1-3"]),
        min_size=6,
        max_size=6,
    )
)
def test_any_fields_are_an_expression_or_refused(fields):
    try:
        recurrence = parse(f"cron({' '.join(fields)})")
    except Invalid:
        return
    following = recurrence.next_after(0)
    assert following is None or following > 0
