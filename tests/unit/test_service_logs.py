"""The daemon's log: its two forms, levels for the journal, and the lines of requests."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinsync.remote.calls import RequestRecord
from pinsync.service.logs import configure, shown_requests
from pinsync.service.telling import request_words


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    log = logging.getLogger("pinsync")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


def bug(log: logging.Logger) -> None:
    try:
        raise KeyError("gone")
    except KeyError as error:
        log.error("this is a bug", exc_info=error)


def test_lines_of_text_have_time_and_level() -> None:
    out = io.StringIO()
    log = configure({}, stream=out)
    log.info("a pass")
    log.debug("not without --verbose")
    [line] = out.getvalue().splitlines()
    assert line.endswith(" INFO    a pass")


def test_lines_of_json_are_one_object_each_whatever_is_said() -> None:
    out = io.StringIO()
    log = configure({}, stream=out, form="json", verbose=True)
    log.warning('two\nlines and "quotes" of %s', "somebody")
    logging.getLogger("pinsync.requests").debug("below it")
    bug(log)
    first, second, third = map(json.loads, out.getvalue().splitlines())
    assert (first["level"], first["message"]) == ("warning", 'two\nlines and "quotes" of somebody')
    assert first["at"].endswith("Z")
    assert (second["logger"], second["level"]) == ("pinsync.requests", "debug")
    assert "KeyError" in third["traceback"] and third["level"] == "error"


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_gets_the_level_before_each_line(tmp_path: Path, form: str) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        at = os.fstat(stream.fileno())
        log = configure({"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"}, stream=stream, form=form)
        log.info("a pass")
        bug(log)
        stream.seek(0)
        first, *rest = stream.read().splitlines()
    assert first.startswith("<6>a pass" if form == "text" else '<6>{"at": ')
    assert rest and all(line.startswith("<3>") for line in rest)
    if form == "json":
        assert [json.loads(line[3:])["message"] for line in (first, *rest)] == ["a pass", "this is a bug"]


def test_requests_are_shown_where_that_is_wanted_and_only_meanwhile() -> None:
    out = io.StringIO()
    for wanted in (False, True):
        with shown_requests(wanted, out) as log:
            log.debug("a request")
    logging.getLogger("pinsync.requests").debug("later")
    assert out.getvalue() == "a request\n"


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (RequestRecord("GET", "/pins", 200, 0.0412, None), "there: GET /pins: 200 in 41 ms"),
        (
            RequestRecord("DELETE", "/pins/{requestid}", 404, 1.0, None, 0.0, "a/b"),
            "there: DELETE /pins/a%2Fb: 404 in 1000 ms",
        ),
        (RequestRecord("POST", "/pins", None, 30.0, "ConnectTimeout"), "there: POST /pins: ConnectTimeout in 30000 ms"),
    ],
)
def test_a_request_is_a_line_without_its_query(record: RequestRecord, line: str) -> None:
    assert request_words("there", record) == line
    assert len(request_words("there", RequestRecord("GET", "", 200, 0.1, None, 0.0, "x" * 9999))) < 200
