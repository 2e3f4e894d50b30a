"""An operator's own price script: what it is given, what it may answer, how it is ended."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO, GIB
from marketsim.strategies.bounded_process import OUTPUT_MAX
from marketsim.strategies.check import check_strategy, sample_requests
from marketsim.strategies.rules import GpuModel, PriceRequest, Refusal, ResourceUnit, Volume
from marketsim.strategies.script import PROCESS_LIMIT, OperatorScript

UNIT = ResourceUnit(
    cpu=1_500,
    memory=2 * GIB,
    volumes=(Volume(GIB), Volume(5, "beta2")),
    gpu=1,
    gpu_models=(GpuModel("nvidia", "a100", "80Gi"),),
    count=2,
    endpoints=3,
    leased_ips=1,
)
REQUEST = PriceRequest((UNIT,), price_ceiling=50 * ATTO + ATTO // 2, owner="tenant-1", denom="uve")


def script(folder: Path, body: str, first: str = "#!/bin/sh") -> OperatorScript:
    path = folder / "price.sh"
    path.write_text(f"{first}\n{body}\n")
    path.chmod(0o755)
    return OperatorScript(path)


def shown(answer: int | Refusal) -> str:
    return str(answer.code) if isinstance(answer, Refusal) else format_amount(answer)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 1.25", "1.25"),
        ("printf ' 50.5\\n\\n'", "50.5"),
        ("echo 50.500000000000000001", "price_too_high"),
        ("echo 1; exit 1", "script_failed"),
        ("echo no such tenant >&2; exit 3", "script_failed"),
        ("true", "invalid_price"),
        ("echo cheap", "invalid_price"),
        ("echo 1 2", "invalid_price"),
        ("echo 0.0000000000000000001", "invalid_price"),
        ("echo 0", "invalid_price"),
        ("echo -- -1", "invalid_price"),
        ("printf '\\377\\376'", "invalid_price"),
        ("printf '%05000d' 7", "7"),
        ("printf '1%05000d' 7", "invalid_price"),
        ("kill -9 $$", "script_failed"),
        ('[ "$AKASH_OWNER/$AKASH_DENOM" = tenant-1/uve ] && echo 2', "2"),
        ('[ "$VIRTENGINE_OWNER/$VIRTENGINE_DENOM" = tenant-1/uve ] && echo 2', "2"),
    ],
)
def test_answers(tmp_path: Path, body: str, expected: str) -> None:
    assert shown(script(tmp_path, body).price(REQUEST)) == expected


def test_a_failure_says_why(tmp_path: Path) -> None:
    answer = script(tmp_path, "echo tenant is not on the list >&2; exit 1").price(REQUEST)
    assert isinstance(answer, Refusal) and answer.reason == "tenant is not on the list"
    answer = script(tmp_path, "printf '\\n  first line\\nsecond line\\n' >&2; exit 1").price(REQUEST)
    assert isinstance(answer, Refusal) and answer.reason == "first line"
    answer = script(tmp_path, "echo first >&2; yes second | head -c 200000 >&2; exit 1").price(REQUEST)
    assert isinstance(answer, Refusal) and answer.reason == "first"
    answer = script(tmp_path, "exit 7").price(REQUEST)
    assert isinstance(answer, Refusal) and answer.reason == "exit 7"


def test_the_document_on_standard_input(tmp_path: Path) -> None:
    """The bytes that Akash's provider writes: compact JSON in one line, the amount with eighteen decimals."""
    body = f"cat > {tmp_path}/seen; echo 1"
    assert script(tmp_path, body).price(REQUEST) == ATTO
    assert (tmp_path / "seen").read_bytes() == (
        b'{"resources":[{"memory":2147483648,"cpu":1500,'
        b'"gpu":{"units":1,"attributes":{"vendor":{"nvidia":{"model":"a100","ram":"80Gi"}}}},'
        b'"storage":[{"class":"ephemeral","size":1073741824},{"class":"beta2","size":5}],'
        b'"count":2,"endpoint_quantity":3,"ip_lease_quantity":1}],'
        b'"price":{"denom":"uve","amount":"50.500000000000000000"},"price_precision":6}\n'
    )


def test_a_late_script_is_ended_with_its_children(tmp_path: Path) -> None:
    slow = OperatorScript(script(tmp_path, "sleep 60 & sleep 60; echo 1").path, timeout_seconds=0.3)
    begun = time.monotonic()
    assert shown(slow.price(REQUEST)) == "script_timeout"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("holds", ["sleep 60 &", "setsid sleep 60 &", "(trap '' TERM HUP; sleep 60) & disown"])
def test_a_child_that_keeps_the_output_ends_with_the_time(tmp_path: Path, holds: str) -> None:
    slow = OperatorScript(script(tmp_path, f"{holds}\necho $! > {tmp_path}/child; echo 1").path, timeout_seconds=0.4)
    begun = time.monotonic()
    assert shown(slow.price(REQUEST)) == "script_timeout"
    assert time.monotonic() - begun < 20
    if "setsid" not in holds:  # that one has left the group, and nobody waits for it
        assert not is_alive(int((tmp_path / "child").read_text()))


def test_what_a_script_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    assert script(tmp_path, f"sleep 60 > /dev/null 2>&1 &\necho $! > {tmp_path}/child; echo 1").price(REQUEST) == ATTO
    assert not is_alive(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("exec yes", "script_failed"),
        ("yes | head -c 65537; exit 0", "script_failed"),
        ("head -c 60000 /dev/zero | tr '\\0' ' '; echo 1.5", "1.5"),
        ("head -c 3000000 /dev/zero >&2; echo 1.5", "1.5"),
        ("head -c 60000 /dev/zero | tr '\\0' 9", "invalid_price"),
        ("head -c 60000 /dev/zero | tr '\\0' 0; echo 2.5", "2.5"),
    ],
)
def test_what_a_script_prints_is_read_up_to_64_kib(tmp_path: Path, body: str, expected: str) -> None:
    assert shown(script(tmp_path, body).price(REQUEST)) == expected


def test_many_that_print_without_end_take_no_more_room(tmp_path: Path) -> None:
    strategy = script(tmp_path, "exec yes")
    tracemalloc.start()
    answers = strategy.price_many([REQUEST] * (PROCESS_LIMIT + 8))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {shown(answer) for answer in answers} == {"script_failed"}
    assert most < (PROCESS_LIMIT + 8) * 4 * OUTPUT_MAX


def test_an_interrupt_ends_all_scripts_at_once(tmp_path: Path) -> None:
    strategy = script(tmp_path, f"echo $$ > {tmp_path}/pid.$$; sleep 60; echo 1")
    begun = time.monotonic()

    def interrupt() -> None:
        while not list(tmp_path.glob("pid.*")):
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    later = threading.Thread(target=interrupt, daemon=True)
    later.start()
    with pytest.raises(KeyboardInterrupt):
        strategy.price_many([REQUEST] * 100)
    later.join()
    assert time.monotonic() - begun < 50
    pids = [int(path.read_text() or 0) for path in tmp_path.glob("pid.*")]
    assert pids and not any(is_alive(pid) for pid in pids if pid)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and whom nobody has asked about yet does not."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            os.kill(pid, 0)
        except (OSError, ProcessLookupError):
            return False
        time.sleep(0.02)
    return True


def test_a_script_need_not_read(tmp_path: Path) -> None:
    large = PriceRequest((UNIT,) * 3_000, price_ceiling=ATTO)
    assert script(tmp_path, "exec <&-; echo 1").price(large) == ATTO


def test_batches_answer_alike_and_stay_within_the_limit(tmp_path: Path) -> None:
    body = f"mkdir {tmp_path}/run.$$; ls -d {tmp_path}/run.* | wc -l >> {tmp_path}/most; sleep 0.05\n"
    body += f"rmdir {tmp_path}/run.$$; echo 1"
    (tmp_path / "most").touch()
    strategy = script(tmp_path, body)
    assert strategy.price_many([REQUEST] * (PROCESS_LIMIT + 8)) == [ATTO] * (PROCESS_LIMIT + 8)
    most = max(int(line) for line in (tmp_path / "most").read_text().split())
    assert 1 < most <= PROCESS_LIMIT


def test_it_keeps_the_contract_of_strategies(tmp_path: Path) -> None:
    strategy = script(tmp_path, "echo 0.25")
    check_strategy(strategy, sample_requests()[:4])
    assert strategy.price_many([]) == []


def test_what_cannot_run_is_an_error_of_the_input(tmp_path: Path) -> None:
    plain = tmp_path / "plain.sh"
    plain.write_text("echo 1\n")
    good = script(tmp_path, "echo 1").path
    for build, said in (
        (lambda: OperatorScript(tmp_path / "absent.sh"), "no such file"),
        (lambda: OperatorScript(tmp_path), "no such file"),
        (lambda: OperatorScript(plain), "is not executable"),
        (lambda: OperatorScript(good, timeout_seconds=0), "above zero"),
        (lambda: script(tmp_path, "echo 1", "#!/no/such/shell").price(REQUEST), "cannot be started"),
    ):
        with pytest.raises(InputError, match=said):
            build()
