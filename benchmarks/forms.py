"""Every form of the attention kernel by name, and how far each is from float64 on rows at which a fault would show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from hopwell.ops import attention_decode_triton
from hopwell.ops.attention_choice import DecodeVariant
from hopwell.ops.paging import CacheScales

Form = partial(DecodeVariant, "forced", "the bench asks for it")
FORMS = {
    "wide": Form(True, 16, 4, 2, False),
    "wide, numbers ahead": Form(True, 16, 4, 2, True),
    "rows, 2 stages": Form(False, 16, 8, 2),
    "rows, 3 stages": Form(False, 16, 8, 3),
    "rows, 4 warps": Form(False, 16, 4, 2),
    "by hand": Form(False, 16, 4, 1, gluon=True),
}
"""Ways to compute attention with 16 heads; on Hopper the first is in use for few tokens, the last for more."""
BY_32 = {
    "32 by hand": Form(False, 32, 4, 1, gluon=True),
    "32 rows, 3 stages": Form(False, 32, 8, 3),
}
FORMS_32 = BY_32 | {"16 by hand": Form(False, 16, 4, 1, gluon=True)}
"""The same with 32 heads."""
FORMS_128 = {"64 rows, by hand": Form(False, 64, 8, 1, gluon=True), "64 rows": Form(False, 64, 8, 2), **BY_32,
             "wide": Form(True, 64, 8, 2, False)}  # fmt: skip
"""The same with 128 heads."""


def caches(how: DecodeVariant) -> tuple[bool, ...]:
    """What a form can read: a cache of codes (True), of bf16, or either."""
    if how.gluon:
        return (True,) if how.heads == 32 else (False, True)
    return (False, True) if not how.swap_ab and how.heads <= 32 else (False,)


@contextmanager
def poisoned() -> Iterator[None]:
    """Memory that a kernel does not write reads as NaN (integers: -1)."""
    real = torch.empty

    def empty(*args: Any, **kwargs: Any) -> torch.Tensor:
        out = real(*args, **kwargs)
        if out.dtype == torch.float8_e4m3fn:
            out.view(torch.uint8).fill_(0x7F)
        else:
            out.fill_(float("nan") if out.is_floating_point() else -1)
        return out

    with patch.object(torch, "empty", empty):
        yield


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative, in the 2-norm; infinite where it is NaN, for the larger of a number and NaN may be the number."""
    found = ((got.double() - want.double()).norm() / want.double().norm()).item()
    return math.inf if math.isnan(found) else found


def attention_error(heads: int, length: int, how: DecodeVariant, fp8: bool, seed: int, device: str = "cuda") -> float:
    """Of one query over `length` cached rows, against float64; sharp enough that a wrong row shows."""
    generator = torch.Generator(device).manual_seed(seed)
    pages = -(-length // 64)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    queries, rows = randn(1, heads, 576).bfloat16(), randn(pages, 64, 576)
    scales = CacheScales(0.01, 0.02) if fp8 else None
    latent = scales.encode(rows) if scales is not None else rows.bfloat16()
    table = torch.randperm(pages, generator=generator, device=device).int().unsqueeze(0)
    latent[table[0, -1].long(), (length - 1) % 64 + 1 :] = float("nan")
    w_uv = randn(heads, 512, 128).mul_(0.1).bfloat16()
    with poisoned():
        cuts, lse = attention_decode_triton.decode(
            queries, latent, table, torch.tensor([length - 1], device=device), 0.2, scales, how=how
        )
        got = attention_decode_triton.merge_states(cuts, lse, w_uv, fp8=False).values
    stored = scales.decode(latent, torch.float32) if scales is not None else latent
    exact = stored[table[0].long()].flatten(0, 1)[:length].double()
    weights = (queries[0].double() @ exact.T * 0.2).softmax(-1)
    want = torch.einsum("hr,hrv->hv", weights @ exact[:, :512], w_uv.double())
    assert got is not None
    return error(got.view(heads, 128), want)
