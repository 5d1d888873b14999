"""Triton's interpreter at a third of its price: what it works out anew at each call within a kernel is kept.

It computes as before, by the same functions of NumPy. Only for the version it was written for (3.6); another one runs
as it is.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


def quicken() -> None:
    """For this process, whose Triton interprets."""
    import triton
    from triton.language import core
    from triton.runtime import interpreter

    if not triton.__version__.startswith("3.6."):
        return
    _patch_once_a_launch(interpreter, core)
    _know_types(interpreter, core)
    # outside of debug mode nothing reads whether integers overflow
    interpreter.interpreter_builder.options = interpreter.InterpreterOptions(sanitize_overflow=False)


def _patch_once_a_launch(interpreter: Any, core: Any) -> None:
    """A launch gives `triton.language` its interpreted functions. So did each call of a function within the kernel,
    having looked through all of the language's members."""
    scope = interpreter._patch_lang(SimpleNamespace(__globals__={"tl": interpreter.tl, "core": core}))
    members = [(owner, name, getattr(owner, name)) for owner, name, _ in scope._changes]
    scope.restore()
    running: list[object] = []

    class Scope(interpreter._LangPatchScope):
        def restore(self) -> None:
            if running and running[-1] is self:
                running.pop()
            super().restore()

    def patch_lang(_: object) -> Scope:
        scope = Scope()
        if not running:
            for owner, name, member in members:
                scope.set_attr(owner, name, member)
            running.append(scope)
        return scope

    interpreter._patch_lang = patch_lang


def _know_types(interpreter: Any, core: Any) -> None:
    """Types of NumPy by name; of a block's shape its size, its name, and what its tensors say of it."""
    find, init_block, dtypes = interpreter._get_np_dtype, core.block_type.__init__, dict[str, np.dtype]()
    blocks: dict[tuple[int, ...], tuple[Any, int, str, tuple[Any, Any]]] = {}
    scalar = core.constexpr(1), core.tuple([])

    def np_dtype(kind: Any) -> np.dtype:
        if (found := dtypes.get(kind.name)) is None:
            found = dtypes[kind.name] = find(kind)
        return found

    def block(self: Any, element: Any, shape: Any) -> None:
        sides = tuple(side.value if isinstance(side, core.constexpr) else side for side in shape)
        known = blocks.get(sides) if all(type(side) is int for side in sides) else None
        if known is None:
            init_block(self, element, shape)
            seen = core.constexpr(self.numel), core.tuple([core.constexpr(side) for side in self.shape])
            known = blocks[sides] = self.shape, self.numel, f"<{self.shape}, ", seen
        self.element_ty = element
        self.shape, self.numel, name, self.seen = known
        self.name = f"{name}{element}>"

    def tensor(self: Any, handle: Any, kind: Any) -> None:
        self.handle, self.type, self.dtype = handle, kind, kind.scalar
        self.numel, self.shape = kind.seen if kind.is_block() else scalar

    interpreter._get_np_dtype = np_dtype
    core.block_type.__init__ = block
    core.tensor.__init__ = tensor
