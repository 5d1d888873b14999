"""The products of a long step by kernels, and some of their rows once more in float32: the check's second half.

Only kernels that serving launches are launched, with the same constants: nothing is compiled for the check alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import Packed
from hopwell.model.fused import FusedTransformer
from hopwell.model.transformer import AllExperts, Dense, Layer
from hopwell.ops.linear_triton import product
from hopwell.ops.moe_down_triton import experts_down
from hopwell.ops.moe_grouping_triton import group_by_expert
from hopwell.ops.moe_up_triton import experts_up
from hopwell.ops.norm_choice import Shape, choose
from hopwell.ops.rows import Normed
from hopwell.ops.weight import Weight

SAMPLES = 32
"""Rows of a product that are computed again, about."""
Sampled = Iterator[tuple[str, Tensor, Tensor]]
"""What was computed, by kernels, and in float32."""


def sampled_products(fused: FusedTransformer, rows: int) -> Sampled:
    """Of every layer, each product of a step of `rows` rows: some of them, with the ends of its weight."""
    generator = torch.Generator(fused.model.device).manual_seed(rows)
    for layer in fused.model.layers:
        yield from _dense(layer, rows, generator)
        if not isinstance(layer.network, Dense) and (joined := layer.network.joined) is not None:
            yield from _experts(joined, fused.model.config.router.top_k, layer.eps, rows, generator)


def _dense(layer: Layer, rows: int, generator: torch.Generator) -> Sampled:
    a, network = layer.attention, layer.network
    weights = [(a.qkv_a, True, torch.float32), (a.q_b, False, torch.bfloat16), (a.o, False, torch.bfloat16)]
    if isinstance(network, Dense):
        weights += [(network.gate_up, True, torch.bfloat16), (network.down, False, torch.bfloat16)]
    some = _some(rows, generator.device)
    for weight, normed, dtype in weights:
        if weight is None:
            continue
        x = _entering(rows, weight, normed, generator)
        got = product(x, weight, layer.eps, dtype=dtype).sum(0)[some]
        values = _values(x, some, layer.eps)
        for part in _ends(weight):
            yield f"rows of {list(weight.shape)}", got[:, part], values @ dequantized_rows(weight, part).T


def _experts(experts: AllExperts, top_k: int, eps: float, rows: int, generator: torch.Generator) -> Sampled:
    count, device = experts.experts.count, generator.device
    drawn = torch.rand(rows, count - experts.shared, generator=generator, device=device).topk(top_k).indices
    shared = torch.arange(count - experts.shared, count, device=device).expand(rows, -1)
    ids = torch.cat((drawn, shared), dim=1).int()
    groups = group_by_expert(ids, count, packed=experts.experts.gate_up.is_packed)
    assert groups.sorted  # a long step's are
    places = _some(len(groups.pairs), device)
    pairs = groups.pairs[places].long()
    of = ids.flatten()[pairs].long()

    def compared(weight: Weight, got: Tensor, values: Tensor) -> Sampled:
        for part in _ends(weight):
            want = torch.einsum("pk,pnk->pn", values, dequantized_rows(weight, part, of))
            yield f"experts' rows of {list(weight.shape)}", got[:, part], want

    up, down = experts.experts.gate_up, experts.experts.down
    x = _entering(rows, up, True, generator)
    got = experts_up(x, up, groups, eps, dtype=torch.bfloat16).sum(0)[places]
    yield from compared(up, got, _values(x, pairs // ids.shape[1], eps))
    x = _entering(len(groups.pairs), down, False, generator)
    yield from compared(down, experts_down(x, down, groups).flatten(0, 1)[pairs], _values(x, places, eps))


def _some(count: int, device: torch.device) -> Tensor:
    """Indices below `count`, the last among them."""
    return torch.arange(count - 1, 0, -max(1, count // SAMPLES), device=device)


def _entering(count: int, weight: Weight, normed: bool, generator: torch.Generator) -> Normed:
    """Random rows as they come to a weight: from a norm, their rms outstanding, or from another product."""
    width, device = weight.shape[-1], generator.device
    values = torch.randn(count, width, generator=generator, device=device, dtype=torch.bfloat16)
    found = Normed(None, None, values, None)
    if weight.takes_fp8(count):
        scales = torch.rand(count, width // 128, generator=generator, device=device) + 0.5
        found = Normed(values.to(torch.float8_e4m3fn), scales, None, None)
    if normed:
        chunks = choose("add_norm", Shape(count, width)).programs
        found.sumsq = torch.rand(count, chunks, generator=generator, device=device) + width / chunks
    return found


def _ends(weight: Weight) -> tuple[slice, slice]:
    """The first and the last block of a matrix's rows."""
    out = weight.shape[-2]
    return slice(0, min(out, 128)), slice((out - 1) // 128 * 128, out)


def dequantized_rows(weight: Weight, part: slice, experts: Tensor | None = None) -> Tensor:
    """Some of a matrix's rows in float32; of a stack, those of the given experts."""
    stored = weight.stored
    if isinstance(stored, Packed | Mixed):
        each = [stored] if experts is None else [stored.at(index) for index in experts.tolist()]
        found = [one.strip_rows(part.start, part.stop).dequantize() for one in each if isinstance(one, Packed)]
        return found[0] if experts is None else torch.stack(found)
    data, scale = weight.data[..., part, :], weight.scale
    if experts is not None:
        data = data.view(torch.uint8)[experts].view(data.dtype)
    if scale is None:
        return Plain(data).dequantize()
    scale = scale[..., part.start // 128 : part.start // 128 + 1, :]
    return Fp8Block(data, scale if experts is None else scale[experts]).dequantize()


def _values(rows: Normed, some: Tensor, eps: float) -> Tensor:
    """What rows stand for, in float32."""
    if rows.fp8 is None:
        assert rows.values is not None
        found = rows.values[some].float()
    else:
        assert rows.scales is not None
        codes = rows.fp8.view(torch.uint8)[some].view(torch.float8_e4m3fn).float()
        found = (codes.unflatten(1, (-1, 128)) * rows.scales[some].unsqueeze(2)).flatten(1)
    if rows.sumsq is None:
        return found
    return found * (rows.sumsq[some].sum(1, keepdim=True) / found.shape[1] + eps).rsqrt()
