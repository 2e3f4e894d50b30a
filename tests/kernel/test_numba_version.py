"""What the compiler takes of numba beyond its public interface is there, and in a version of which somebody has seen that it works."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest

from marketsim.kernel.modes import COMPILING

SEEN = ("0.68.1",)
"""Versions of numba with which all tests have passed and shipped scenarios had the same fingerprints."""


def test_this_version_of_numba_was_seen() -> None:
    found = version("numba")
    assert found in SEEN, (
        f"numba {found} is not one of {', '.join(SEEN)}, with which `kernel/compiler.py` and `kernel/shortcuts.py` were seen to work: they "
        "use private names of numba. Run the tests and the shipped scenarios; where they pass, add it to SEEN here"
    )


@pytest.mark.skipif(not COMPILING, reason="nothing is compiled")
def test_the_private_names_are_there() -> None:
    from numba.core import base, compiler, event, postproc, typeinfer, types
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler_machinery import PassManager, _pass_registry
    from numba.core.lowering import Lower
    from numba.core.registry import CPUDispatcher
    from numba.core.typing.context import BaseContext
    from numba.np import arrayobj

    from marketsim.kernel.shortcuts import NEEDLESS

    taken: dict[Any, list[str]] = {
        base.BaseContext.refresh: ["self"],
        base._has_loc: ["fn"],
        event.end_event: ["kind", "data", "exc_details"],
        event.start_event: ["kind", "data"],
        arrayobj.make_array: ["array_type"],
        BaseContext.refresh: ["self"],
        BaseContext.resolve_getattr: ["self", "typ", "attr"],
        Lower.alloca_lltype: ["self", "name", "lltype", "datamodel"],
        Lower.lower_block: ["self", "block"],
        Lower.storevar: ["self", "value", "name", "argidx"],
        PassManager.run: ["self", "state"],
        postproc.PostProcessor.run: ["self", "emit_dels", "extend_lifetimes"],
        typeinfer.ConstraintNetwork.propagate: ["self", "typeinfer"],
        typeinfer.new_error_context: ["fmt_", "args", "kwargs"],
        types.BaseFunction.get_call_type: ["self", "context", "args", "kws"],
    }
    assert {each: list(inspect.signature(each).parameters) for each in taken} == taken
    assert {each.__name__ for each in _pass_registry._registry} >= NEEDLESS
    for name in (
        "_optimize_functions",
        "_optimize_final_module",
        "_finalize_final_module",
        "_finalize_dynamic_globals",
        "_verify_declare_only_symbols",
    ):
        assert callable(getattr(JITCodeLibrary, name, None)), f"JITCodeLibrary.{name}"
    assert list(inspect.signature(arrayobj.fix_integer_index).parameters) == ["context", "builder", "idxty", "idx", "size"]
    assert "fix_integer_index(" in inspect.getsource(arrayobj.basic_indexing)
    assert "_compile_core" in inspect.getsource(inspect.getmodule(CPUDispatcher.__mro__[1]))  # type: ignore[arg-type]
    assert {"library", "pipeline_class", "flags"} <= set(inspect.signature(compiler.compile_extra).parameters)
