"""Which forward pass serves a model on a device: the chain of fused kernels, op by op, or plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hopwell.formats.plain import BF16, PlainFormat
from hopwell.model.shape_classes import LONG
from hopwell.model.transformer import Dense, MoE, Transformer
from hopwell.ops.device import Device, why_no_triton
from hopwell.ops.exchange import FusedExchange
from hopwell.ops.variant import Variant
from hopwell.ops.weight import Weight

PROMPT_PAIRS = 1 << 18
"""Of prompts' tokens and the tokens before each: from here on rebuilding keys pays, and the step is a long one. (A row
that attends by itself reads 1,152 bytes a pair, mostly from the L2 cache: 300 MB a layer.)"""


def choose(model: Transformer, device: Device, graphs: bool = True, fault: str | None = None) -> Variant:
    """`fused_chain` (`model/fused.py`, in CUDA graphs), `op_by_op` (`Transformer.forward`, each op choosing its
    kernel) or `plain` (the same without kernels).

    Args:
        graphs: CUDA graphs are wanted.
        fault: what `model/kernel_check.py` found wrong with the kernels on this device, if anything.
    """
    if device.capability == 0:
        return Variant("plain", "it is not on a GPU")
    if not device.triton:
        return Variant("plain", why_no_triton() or "it does without Triton")
    if not device.has_kernels:
        return Variant("plain", "the kernels are for Hopper and Blackwell GPUs")
    if (reason := unsuited(model)) is not None:
        return Variant("op_by_op", reason)
    if not graphs:
        return Variant("op_by_op", "graphs are not wanted")
    if fault is not None:
        return Variant("plain", f"the kernels are wrong on this GPU: {fault}")
    return Variant("fused_chain", "every matrix, head and group of experts fits the kernels")


def choose_step(query_lens: Sequence[int], seq_lens: Sequence[int], largest: int, decoding: int = 1) -> Variant:
    """How the chain computes a step: `whole_graph`, replayed at a size of at least its rows, or `layer_graphs`, with
    attention between them, where keys of prompts are rebuilt.

    Args:
        query_lens, seq_lens: new tokens of each sequence, and all of its tokens.
        largest: rows of the largest whole graph.
        decoding: new tokens up to which a sequence decodes, drafts to check included.
    """
    rows = sum(query_lens)
    if rows > largest:
        return Variant("layer_graphs", f"more than {largest} rows")
    pairs = sum(new * length for new, length in zip(query_lens, seq_lens, strict=True) if new > decoding)
    if rows >= LONG and pairs > PROMPT_PAIRS:
        return Variant("layer_graphs", f"prompts of more than {PROMPT_PAIRS:,} pairs of tokens")
    return Variant("whole_graph", f"at most {largest} rows, and few or short prompts")


def unsuited(model: Transformer) -> str | None:
    """Why the chain of kernels cannot compute this model, or None if it can. Those it cannot run op by op."""
    c, problems = model.config, []
    if model.dtype != torch.bfloat16:
        problems.append(f"it computes in {PlainFormat(model.dtype).name}")
    if model.exchange is not None and not isinstance(model.exchange, FusedExchange):
        problems.append("its ranks have no exchange that kernels can use")
    head = (c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim)
    if head != (128, 64, 128) or not _power_of_two(c.kv_lora_rank):
        problems.append(f"its heads are {'/'.join(map(str, head))} over a latent of {c.kv_lora_rank}")
    if not _power_of_two(c.router.n_group):
        problems.append(f"it has {c.router.n_group} groups of experts")
    for layer in (*model.layers, *([model.mtp.layer] if model.mtp else [])):
        a, network = layer.attention, layer.network
        weights = [a.qkv_a, a.o, *([a.q_b] if a.q_b else [])]
        if isinstance(network, Dense):
            weights += [network.gate_up, network.down]
        else:
            problems += _unsuited_experts(network)
        problems += [f"a matrix {list(w.shape)} is {fault}" for w in weights if (fault := _fault(w, 1))]
    if fault := _fault(model.head, 1):
        problems.append(f"its head is {fault}")
    return problems[0] if problems else None


def _unsuited_experts(network: MoE) -> list[str]:
    routed, shared = network.experts, network.shared
    problems = [f"experts {list(w.shape)} are {f}" for w in (routed.gate_up, routed.down) if (f := _fault(w, 64))]
    own = () if shared is None else (shared.gate_up, shared.down)
    return problems + [f"a shared expert's matrix {list(w.shape)} is {f}" for w in own if (f := _fault(w, 64))]


def _fault(weight: Weight, step: int) -> str | None:
    """What keeps a matrix from the kernels: reductions are in steps of 128 (FP8) or, for experts, 64 (bf16). What is
    packed was packed in whole steps."""
    if weight.is_packed:
        return None
    if weight.is_fp8:
        return None if weight.shape[-1] % 128 == 0 else "in FP8 and no multiple of 128 wide"
    if weight.format != BF16:
        return f"in {weight.format.name}"
    return None if weight.shape[-1] % step == 0 else f"no multiple of {step} wide"


def _power_of_two(n: int) -> bool:
    return n & (n - 1) == 0
