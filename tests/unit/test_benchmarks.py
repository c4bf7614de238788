"""The table of `make bench` and its exit codes, and the service that it measures against. Nothing is timed here."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
from benchmarks import table
from benchmarks.__main__ import main
from benchmarks.harness import CannotRunError, Setup, made_up_cids, run
from benchmarks.service import MARK, TOKEN, Service
from benchmarks.table import Found, Row, at_least, at_most


def quick(setup: Setup) -> Found:
    return Found([at_least(f"quick {setup.size(1000)}", 2.0, 70.0, 30)], ["a note"])


def slow(setup: Setup) -> Found:
    return Found([at_most("slow", 5.0, 2.0, 2), Row("beside", "1 s", "", "–")])


def broken(setup: Setup) -> Found:
    raise CannotRunError("there is no Kubo here")


def test_the_table_has_a_ratio_and_says_whether_each_goal_is_met() -> None:
    shown = table.lines([*quick(Setup(Path())).rows, *slow(Setup(Path())).rows])
    assert [line.split() for line in shown if "─" not in line] == [
        ["benchmark", "ours", "rival", "ratio", "goal", "met?"],
        ["quick", "1000", "2.00", "s", "70.00", "s", "35.0", "×", "≥", "30", "×", "yes"],
        ["slow", "5.00", "s", "2.00", "s", "2.50", "×", "≤", "2", "×", "NO"],
        ["beside", "1", "s", "–"],
    ]
    assert len({line.index("×") for line in shown if "×" in line}) == 1, "columns are aligned"


def test_a_goal_that_is_missed_is_said_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {"quick": quick, "slow": slow}) == 0
    out = capsys.readouterr().out
    assert "1 of 2 goals missed" in out
    assert "a note" in out
    assert "cores" in out


def test_a_benchmark_that_cannot_run_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {"broken": broken, "quick": quick}) == 1
    said = capsys.readouterr()
    assert "broken could not be run: there is no Kubo here" in said.err
    assert "35.0 ×" in said.out


def test_one_can_be_named_and_quick_is_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quick", "--quick"], {"broken": broken, "quick": quick}) == 0
    assert "quick 100 " in capsys.readouterr().out


def test_a_wrong_name_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["quack"], {"quick": quick})
    assert ended.value.code == 2
    assert "no benchmark quack; there are quick" in capsys.readouterr().err


def test_a_process_that_fails_is_quoted() -> None:
    program = "import sys; sys.exit('no such pin')"
    with pytest.raises(CannotRunError, match="exit code 1:\nno such pin"):
        run([sys.executable, "-c", program], {})
    assert run([sys.executable, "-c", program], {}, ok=(1,)).code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_peak_is_the_process_s_own_whatever_its_parent_holds() -> None:
    ballast = bytes(300_000_000)
    program = "import time; kept = b'x' * {}; time.sleep(0.2)"  # long enough to be looked at
    small, large = (run([sys.executable, "-S", "-c", program.format(size)], {}).peak_mb for size in (0, 90_000_000))
    assert len(ballast) > 2e8
    assert small is not None
    assert large is not None
    assert small < 60
    assert 90 < large < 150


def test_the_service_has_our_pins_counts_requests_and_refuses_one_too_many(tmp_path: Path) -> None:
    with (
        Service(tmp_path, "spec", rate="2/60s", cids=made_up_cids(12)) as service,
        httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client,
    ):
        listed = client.get(f"{service.url}/pins?limit=1000").json()
        assert [row["pin"]["cid"] for row in reversed(listed["results"])] == made_up_cids(12)
        assert listed["results"][0]["pin"]["meta"] == {"pinsync": MARK}
        added = client.post(f"{service.url}/pins", json={"cid": made_up_cids(13)[-1]})
        assert added.status_code == 202
        assert client.get(f"{service.url}/pins").status_code == 429
        counts = service.counts()
    assert (counts.pins, counts.requests, counts.mutations, counts.limited) == (13, 3, 1, 1)
