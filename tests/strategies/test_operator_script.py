"""An operator's own price script: what it is given, what it may answer, how it is ended."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO, GIB
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
    assert threading.active_count() < 5


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
