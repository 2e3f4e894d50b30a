"""The garbage collector while much code is loaded."""

import gc

import pytest

from marketsim.experiments.runs.loading import much_code


def test_the_collector_rests_while_code_is_loaded_and_is_as_before_afterwards() -> None:
    frozen = gc.get_freeze_count()
    with much_code():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    with pytest.raises(ZeroDivisionError), much_code():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with much_code():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
