"""Ways past what numba does again and again while it compiles hundreds of small functions.

For each operator and attribute that it meets numba asks all that may answer, and asks again until no type changes; at each array it
looks for new extensions; it tells listeners of every lock and pass, analyses a function after each pass for what nobody asks, and keeps
books of where references end, which compiled code here has none of. What is asked a second time is remembered here, the rest left out:
two fifths of the time that compiling took. What is compiled is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from numba.core import base, cgutils, compiler, errors, event, imputils, lowering, postproc, transforms, typeinfer, types
from numba.core.compiler_machinery import PassManager, _pass_registry, register_pass
from numba.core.typed_passes import BaseNativeLowering
from numba.core.typing import templates
from numba.core.typing.context import BaseContext
from numba.np import arrayobj

NEEDLESS = frozenset(
    {
        "AnnotateTypes",
        "DumpParforDiagnostics",
        "FindLiterallyCalls",
        "IRLegalization",
        "InlineClosureLikes",
        "InlineInlinables",
        "InlineOverloads",
        "LiteralPropagationSubPipelinePass",
        "LiteralUnroll",
        "MakeFunctionToJitFunction",
        "NopythonRewrites",
        "RewriteDynamicRaises",
        "WithLifting",
    }
)
"""numba's passes for what no compiled function has: `with`, closures, comprehensions, loops over literals, whole arrays in expressions,
references to count."""


class _Lowering(lowering.Lower):  # type: ignore[misc]
    """How statements become instructions, where no variable holds a reference that ends when another value is written."""

    def lower_block(self, block: Any) -> None:
        """Write the instructions of a block."""
        self.pre_block(block)
        for statement in block.body:
            self.loc = statement.loc
            try:
                self.lower_inst(statement)
            except errors.NumbaError as error:
                error.add_context(f'lowering "{statement}" at {statement.loc}')
                raise
        self.post_block(block)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        """Write the instructions that give a variable its value."""
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        """Write the instructions that make room for a variable."""
        return cgutils.alloca_once(self.builder, lltype, name=name)


@register_pass(mutates_CFG=True, analysis_only=False)
class _PlainLowering(BaseNativeLowering):  # type: ignore[misc]
    _name = "plain_lowering"
    lowering_class = _Lowering


class _Passes(PassManager):  # type: ignore[misc]
    """Passes one after the other, without checks, clocks and reports around each."""

    def run(self, state: Any) -> None:
        """Run every pass on a function."""
        for each, _ in self.passes:
            found = _pass_registry.get(each).pass_inst
            found.analysis = self._analysis
            found.run_pass(state)


class Pipeline(compiler.CompilerBase):  # type: ignore[misc]
    """numba's passes but for the needless ones."""

    _passes: _Passes | None = None

    def define_pipelines(self) -> list[Any]:
        """Return the passes that a function goes through, the same for all."""
        if Pipeline._passes is None:
            usual = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
            passes = Pipeline._passes = _Passes(usual.pipeline_name)
            for each, about in usual.passes:
                if each.__name__ not in NEEDLESS:
                    passes.add_pass(_PlainLowering if each is compiler.NativeLowering else each, about)
            passes.finalize()
        return [Pipeline._passes]


class _About:
    """What an error is told of where it happened: numba's own of this is a generator, made for each constraint of each type."""

    __slots__ = ("_form", "_named", "_parts")

    def __init__(self, form: str, *parts: Any, **named: Any) -> None:
        self._form, self._parts, self._named = form, parts, named

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: Any, _trace: Any) -> None:
        if isinstance(error, errors.NumbaError):
            error.add_context(self._form.format(*self._parts, **self._named))


def _remembered_call(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Types of results by types of arguments. They stand with the function's type, which keeps what they were found with."""

    def get_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws:
            return usual(self, context, args, kws)
        known = self.__dict__.setdefault("_known", {})
        key = tuple(args)
        found = known.get(key)
        if found is None:
            found = known[key] = usual(self, context, args, kws)
        return found

    return get_call_type


def _remembered(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Answers by arguments; an answer None is asked for again."""
    known: dict[Any, Any] = {}

    def answer(*about: Any) -> Any:
        found = known.get(about)
        if found is None:
            found = known[about] = usual(*about)
        return found

    return answer


def _plain_array(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Classes by type of array; each array is one, so that nobody looks for what would make one of it."""

    def make_array(kind: Any) -> Any:
        made = usual(kind)
        return type(made.__name__, (made,), {"_make_refs": cgutils.create_struct_proxy(kind)._make_refs}) if kind.as_array is kind else made

    return _remembered(make_array)


def _refreshed_when_new(usual: Callable[..., Any], registry: Any) -> Callable[..., Any]:
    """Look for extensions where there are more of them than before."""
    before: dict[Any, int] = {}

    def refresh(self: Any) -> None:
        count = sum(len(each) for each in vars(registry).values() if isinstance(each, list))
        if before.get(self) != count:
            usual(self)
            before[self] = count

    return refresh


def _tidied(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Put the blocks in order, and analyse no lifetimes before somebody asks."""

    def run(self: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
        if emit_dels or self.func_ir.is_generator:
            usual(self, emit_dels, extend_lifetimes)
            return
        self.func_ir.blocks = transforms.canonicalize_cfg(self.func_ir.blocks)
        self.func_ir.variable_lifetime = postproc.VariableLifetime(self.func_ir.blocks)
        self.func_ir.generator_info = None

    return run


def _propagated(self: Any, inference: Any) -> list[Any]:
    """Ask every constraint of a function's types once; return what they object to."""
    found = []
    for constraint in self.constraints:
        try:
            constraint(inference)
        except errors.TypingError as error:
            found.append(error)
    return found


def _untold(*_about: Any, **_more: Any) -> None:
    pass


@contextmanager
def shortcuts() -> Iterator[None]:
    """While it lasts, numba remembers. Whoever calls it holds numba's lock: nobody else compiles meanwhile."""
    replaced = (
        (types.BaseFunction, "get_call_type", _remembered_call),
        (BaseContext, "resolve_getattr", _remembered),
        (BaseContext, "refresh", lambda usual: _refreshed_when_new(usual, templates.builtin_registry)),
        (base.BaseContext, "refresh", lambda usual: _refreshed_when_new(usual, imputils.builtin_registry)),
        (base, "_has_loc", _remembered),
        (arrayobj, "make_array", _plain_array),
        (postproc.PostProcessor, "run", _tidied),
        (typeinfer.ConstraintNetwork, "propagate", lambda _: _propagated),
        (typeinfer, "new_error_context", lambda _: _About),
        (event, "start_event", lambda _: _untold),
        (event, "end_event", lambda _: _untold),
    )
    with ExitStack() as before:
        for owner, name, instead in replaced:
            usual = getattr(owner, name)
            before.callback(setattr, owner, name, usual)
            setattr(owner, name, instead(usual))
        yield
