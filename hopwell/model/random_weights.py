"""A model with random weights, made where it runs: for benches, and on the meta device for shapes alone."""

from __future__ import annotations

import math
from itertools import count

import torch
from torch import Tensor

from hopwell.checkpoint.draw import draw_codes, draw_scales, draw_values, seed_of
from hopwell.checkpoint.synthetic import NORM_DEVIATION, SWIGLU_DEVIATION
from hopwell.formats.fp8 import scale_shape
from hopwell.model.config import ModelConfig
from hopwell.model.mla import MLA
from hopwell.model.transformer import MTP, Dense, Layer, MoE, Transformer
from hopwell.ops.linear import Weight
from hopwell.ops.moe import Experts


def random_transformer(config: ModelConfig, device: torch.device | str, seed: int = 0) -> Transformer:
    """Weights of unit gain in the config's own formats, with its MTP layer. On the meta device nothing is stored."""
    return _Maker(config, torch.device(device), seed).transformer()


class _Maker:
    def __init__(self, config: ModelConfig, device: torch.device, seed: int) -> None:
        self.config, self.device, self.seed = config, device, seed
        self._drawn = count()

    def transformer(self) -> Transformer:
        c = self.config
        layers = [self.layer(i) for i in range(c.num_hidden_layers)]
        return Transformer(
            c, self.normal(c.vocab_size, c.hidden_size), layers, self.norm(c.hidden_size),
            Weight(self.normal(c.vocab_size, c.hidden_size, gain=c.hidden_size**-0.5)),
            self.mtp() if c.num_nextn_predict_layers else None,
        )  # fmt: skip

    def mtp(self) -> MTP:
        hidden = self.config.hidden_size
        return MTP(
            self.norm(hidden), self.norm(hidden), self.matrix(hidden, 2 * hidden),
            self.layer(self.config.num_hidden_layers), self.norm(hidden),
        )  # fmt: skip

    def layer(self, index: int) -> Layer:
        c = self.config
        heads, q_rank, rank = c.num_attention_heads, c.q_lora_rank, c.kv_lora_rank
        attention = MLA(
            config=c,
            qkv_a=self.matrix((q_rank or heads * c.qk_head_dim) + c.latent_dim, c.hidden_size),
            q_a_norm=None if q_rank is None else self.norm(q_rank),
            q_b=None if q_rank is None else self.matrix(heads * c.qk_head_dim, q_rank),
            kv_a_norm=self.norm(rank),
            w_uk=self.normal(heads, c.qk_nope_head_dim, rank, gain=rank**-0.5),
            w_uv=self.normal(heads, rank, c.v_head_dim, gain=rank**-0.5),
            o=self.matrix(c.hidden_size, heads * c.v_head_dim),
        )
        network = self.moe() if c.is_moe(index) else self.dense(c.intermediate_size)
        return Layer(self.norm(c.hidden_size), attention, self.norm(c.hidden_size), network, c.rms_norm_eps)

    def dense(self, width: int) -> Dense:
        hidden = self.config.hidden_size
        return Dense(self.matrix(2 * width, hidden), self.down(hidden, width))

    def moe(self) -> MoE:
        c = self.config
        experts, hidden, width = c.n_routed_experts, c.hidden_size, c.moe_intermediate_size
        gate = self.normal(experts, hidden, gain=hidden**-0.5).float()
        bias = torch.zeros(experts, device=self.device) if c.router.scoring == "sigmoid" else None
        stacked = Experts(self.matrix(experts, 2 * width, hidden), self.down(experts, hidden, width))
        shared = self.dense(c.n_shared_experts * width) if c.n_shared_experts else None
        return MoE(c.router, gate, bias, stacked, shared)

    def normal(self, *shape: int, gain: float = 1.0, mean: float = 0.0) -> Tensor:
        """bf16 values of standard deviation `gain`."""
        if self.device.type == "meta":
            return torch.empty(shape, dtype=torch.bfloat16, device="meta")
        return draw_values(math.prod(shape), self._next(), gain, mean, device=str(self.device)).view(shape)

    def norm(self, width: int) -> Tensor:
        return self.normal(width, gain=NORM_DEVIATION, mean=1.0).float()

    def down(self, *shape: int) -> Weight:
        """A matrix that reads what SwiGLU leaves."""
        return self.matrix(*shape, gain=1 / SWIGLU_DEVIATION)

    def matrix(self, *shape: int, gain: float = 1.0) -> Weight:
        """A matrix, or a stack of them, in the checkpoint's format."""
        gain /= math.sqrt(shape[-1])
        if self.config.weight_block_size is None:
            return Weight(self.normal(*shape, gain=gain))
        data = torch.empty(shape, dtype=torch.float8_e4m3fn, device=self.device)
        scale = torch.empty(scale_shape(shape), device=self.device)
        if self.device.type != "meta":
            for one in data if len(shape) == 3 else [data]:  # a stack's random numbers at once would not fit
                one.copy_(draw_codes(one.numel(), self._next(), gain, device=str(self.device)).view(one.shape))
            scale.copy_(draw_scales(scale.numel(), self._next(), gain, device=str(self.device)).view(scale.shape))
        return Weight(data, scale, "fp8_block")

    def _next(self) -> int:
        return seed_of(self.seed, next(self._drawn))
