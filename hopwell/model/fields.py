"""Fields of config.json that no other code reads: those that would change the mathematics, and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopwell.model.reading import ConfigError, FieldReader

FIXED: dict[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "moe_layer_freq": 1,
    "rope_interleave": True,
    "partial_rotary_factor": 1.0,
    "use_sliding_window": False,
    "use_qk_norm": False,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    **dict.fromkeys(
        (
            "sliding_window", "attention_chunk_size", "attn_logit_softcapping", "final_logit_softcapping",
            "attention_multiplier", "index_topk", "index_n_heads", "index_head_dim", "swiglu_limit", "hc_mult",
            "compress_ratios", "num_hash_layers", "o_groups", "o_lora_rank", "layer_types", "mlp_layer_types",
            "linear_attn_config",
        )
    ),
}  # fmt: skip
"""By the only value, beside null, that the forward pass here computes: what transformers and the family's later models
know by these names changes it."""
ARCHITECTURES = ("DeepseekV3ForCausalLM", "DeepseekV2ForCausalLM", "KimiK2ForCausalLM")
ELSEWHERE = {
    "qwen2": "a Qwen model, as R1's distillations are; it is not of R1's architecture: use another engine for it",
    "qwen3": "a Qwen model, as R1-0528's distillation is; it is not of R1's architecture: use another engine for it",
    "llama": "a Llama model, as R1's distillations are; it is not of R1's architecture: use another engine for it",
    "deepseek_v32": "DeepSeek-V3.2, whose sparse attention is not built here yet; V3.1 is the nearest that runs",
    "deepseek_v4": "DeepSeek-V4, another architecture, which is not built here",
    "kimi_k25": "Kimi-K2.5, which sees pictures and is not built here; Kimi-K2 runs",
}
"""What models are that users may take for one of the family, by `model_type`."""
HARMLESS = frozenset({
    "_attn_implementation", "_name_or_path", "add_cross_attention", "architectures", "attention_dropout",
    "attn_implementation", "auto_map", "aux_loss_alpha", "bos_token_id", "chunk_size_feed_forward",
    "compression_config", "decoder_start_token_id", "dtype", "eos_token_id", "ep_size", "experts_implementation",
    "first_k_dense_replace", "head_dim", "hidden_size", "id2label", "initializer_range", "intermediate_size",
    "is_encoder_decoder", "kv_lora_rank", "label2id", "language", "max_length", "max_position_embeddings",
    "model_type", "moe_intermediate_size", "n_group", "n_routed_experts", "n_shared_experts", "name_or_path",
    "norm_topk_prob", "num_attention_heads", "num_experts", "num_experts_per_tok", "num_hidden_layers",
    "num_key_value_heads", "num_local_experts", "num_mtp_layers", "num_nextn_predict_layers",
    "original_max_position_embeddings", "output_attentions", "output_hidden_states", "output_router_logits",
    "pad_token_id", "prefix", "pretraining_tp", "problem_type", "q_lora_rank", "qk_head_dim", "qk_nope_head_dim",
    "qk_rope_head_dim", "quantization_config", "return_dict", "rms_norm_eps", "rope_parameters", "rope_scaling",
    "rope_theta", "routed_scaling_factor", "router_aux_loss_coef", "scoring_func", "sep_token_id", "seq_aux",
    "temperature", "tokenizer_class", "top_k", "top_p", "topk_group", "topk_method", "torch_dtype",
    "transformers_version", "use_bfloat16", "use_cache", "v_head_dim", "vocab_size",
})  # fmt: skip
"""Fields that are read elsewhere, or that no token depends on: of training, of how a library computes, of texts."""


def check_kind(read: FieldReader) -> None:
    """
    Raises:
        ConfigError: the model is one that users may take for one of the family.
    """
    found = read.values.get("model_type")
    if isinstance(found, str) and (what := ELSEWHERE.get(found)):
        raise ConfigError(f"config.json: model_type is {found!r}: {what}")


def unknown_fields(values: Mapping[str, Any]) -> list[str]:
    """Fields of a config.json that are not known here and say something: whoever knows them might compute otherwise."""
    nothing = (None, False, "", [], {})
    known = HARMLESS | FIXED.keys()
    return sorted(k for k, v in values.items() if k not in known and v not in nothing and not k.startswith("unsloth"))
