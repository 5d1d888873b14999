"""Commands that start what was planned. Flags are those of the engines' versions in engines.toml."""

from __future__ import annotations

from shlex import quote

from hopwell.model import shipped_name
from hopwell.planner.question import Option

HUB = {
    "deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
    "deepseek-v3.1": "deepseek-ai/DeepSeek-V3.1",
    "deepseek-v2-lite": "deepseek-ai/DeepSeek-V2-Lite",
    "kimi-k2": "moonshotai/Kimi-K2-Instruct",
}
"""Where the weights of shipped configs are."""


def launch_command(option: Option, model: str, length: float) -> str:
    """One replica's command, on each of its hosts; longer than a line where the engine wants a file too.

    Args:
        model: a folder, a hub name, or one that `read_model` knows.
    """
    model = HUB.get(shipped_name(model), quote(model))
    make = {"hopwell": _hopwell, "sglang": _sglang, "vllm": _vllm, "trtllm": _trtllm}[option.engine.name]
    hosts = -(-option.layout.gpus // option.gpu.domain)
    across = f"  # on each of {hosts} hosts, with the engine's own options for node rank and address"
    return make(option, model, int(length)) + _copy(option) + (across if hosts > 1 else "")


def _copy(option: Option) -> str:
    """What the weights must be made into first, where the model is not released in what was planned."""
    name = option.precision.name
    if name == option.machine.model.stored or not option.engine.can_run(option.layout, option.gpu):
        return ""
    how = "" if name == "bf16" else ": see hopwell quantize"
    return f"  # of a copy with experts in {name}{how}"


def _users(option: Option) -> int:
    return max(1, min(int(option.most_users), option.memory.tokens))


def _of_a_rank(option: Option) -> int:
    return -(-_users(option) // option.layout.dp)


def _hopwell(option: Option, model: str, length: int) -> str:
    cache = "fp8" if option.precision.cache == "fp8" else "bfloat16"
    words = ["hopwell serve", model, f"--max-seqs {_users(option)}", f"--cache-dtype {cache}"]
    words += [f"--drafts {option.drafts}", f"--max-model-len {length}"]
    layout = option.layout
    if layout.gpus > 1:
        words.append(f"--tp {layout.gpus}")
    words += ["--dp-attention"] * (layout.dp > 1) + [f"--ep {layout.gpus}"] * (layout.expert_whole > 1)
    refused = "" if option.engine.can_run(layout, option.gpu) else "  # refused on GPUs in this version"
    return " ".join(words) + refused


def _sglang(option: Option, model: str, length: int) -> str:
    layout = option.layout
    words = ["python -m sglang.launch_server", f"--model-path {model}", f"--tp {layout.gpus}"]
    if layout.dp > 1:
        words.append(f"--dp {layout.dp} --enable-dp-attention")
    if layout.expert_whole > 1:
        words.append(f"--ep-size {layout.expert_whole}")
    if option.precision.cache == "fp8":
        words.append("--kv-cache-dtype fp8_e4m3")
    if option.drafts:
        words.append(
            f"--speculative-algorithm EAGLE --speculative-num-steps {option.drafts} "
            f"--speculative-eagle-topk 1 --speculative-num-draft-tokens {option.drafts + 1}"
        )
    words += [f"--mem-fraction-static {option.engine.memory_fraction}", f"--max-running-requests {_users(option)}"]
    return " ".join([*words, f"--context-length {length}"])


def _vllm(option: Option, model: str, length: int) -> str:
    layout, words = option.layout, ["vllm serve", model]
    words.append(f"--tensor-parallel-size {layout.tp}")
    if layout.dp > 1:
        words.append(f"--data-parallel-size {layout.dp}")
    if layout.expert_whole > 1:
        words.append("--enable-expert-parallel")
    if option.precision.cache == "fp8":
        words.append("--kv-cache-dtype fp8")
    if option.drafts:
        words.append(f"""--speculative-config '{{"method":"mtp","num_speculative_tokens":{option.drafts}}}'""")
    words += [f"--gpu-memory-utilization {option.engine.memory_fraction}", f"--max-num-seqs {_of_a_rank(option)}"]
    return " ".join([*words, f"--max-model-len {length}"])


def _trtllm(option: Option, model: str, length: int) -> str:
    layout = option.layout
    lines = [f"enable_attention_dp: {str(layout.dp > 1).lower()}", "cuda_graph_config: {enable_padding: true}"]
    if option.precision.cache == "fp8":
        lines.append("kv_cache_config: {dtype: fp8}")
    if option.drafts:
        lines.append(f"speculative_config: {{decoding_type: MTP, num_nextn_predict_layers: {option.drafts}}}")
    words = ["trtllm-serve", model, f"--tp_size {layout.gpus}", f"--ep_size {layout.expert_whole}"]
    words += [f"--max_batch_size {_of_a_rank(option)}", f"--max_seq_len {length}"]
    words += [f"--kv_cache_free_gpu_memory_fraction {option.engine.memory_fraction}"]
    file = "\\n".join(lines)
    return f"printf '{file}\\n' > options.yaml; {' '.join([*words, '--extra_llm_api_options options.yaml'])}"
