"""The engine over a real R1-architecture model, small and random: answers are those of the model alone, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from tiny_tokenizer import write_tokenizer

from benchmarks.reference import greedy_answer
from benchmarks.stress import Case, make_cases, references, run_stress
from hopwell import LLM, SamplingParams
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.frontend import ModelError
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import FinishReason, RequestError
from hopwell.errors import HopwellError
from hopwell.model.batch import ForwardBatch
from hopwell.ops.cpu import cpu_multiplies_bf16, cpu_packs_float16

VOCAB = 264
Burst = tuple[list[Case], list[list[int]]]
BF16 = pytest.mark.skipif(not cpu_multiplies_bf16(), reason="no bf16 matrix unit on this CPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = {"qk_nope_head_dim": 32, "qk_rope_head_dim": 32, "v_head_dim": 32}  # sizes that fill the CPU's vectors
    config = tiny.tiny_config("r1", vocab_size=VOCAB, q_lora_rank=64, kv_lora_rank=64, **heads)
    path = tiny.write_checkpoint(tmp_path_factory.mktemp("model"), config, tiny.random_tensors(config))
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    torch.set_num_threads(1)
    return load_model(folder, device="cpu", dtype="bfloat16")


def burst_of(loaded: LoadedModel) -> Burst:
    """Random requests and what the model alone answers."""
    cases = make_cases(32, range(10, VOCAB), seed=6)
    return cases, references(loaded, cases)


@pytest.fixture(scope="module")
def burst(loaded: LoadedModel) -> Burst:
    return burst_of(loaded)


@pytest.fixture(scope="module")
def by_float16(folder: Path) -> LoadedModel:
    """As a CPU without bf16 instructions serves."""
    if not cpu_packs_float16():
        pytest.skip("PyTorch packs no float16 on this CPU")
    return load_model(folder, device="cpu", dtype="float16")


@BF16
@pytest.mark.parametrize(
    ("drafts", "prefix_cache", "overlap"),
    [
        (0, False, False),
        pytest.param(0, True, True, marks=pytest.mark.slow),
        pytest.param(1, True, False, marks=pytest.mark.slow),
        (3, True, True),
    ],
)
@pytest.mark.slow
def test_random_bursts_with_schemas(
    loaded: LoadedModel, burst: Burst, drafts: int, prefix_cache: bool, overlap: bool
) -> None:
    check_bursts(loaded, burst, drafts, prefix_cache, overlap)


@pytest.mark.slow
def test_random_bursts_in_float16(by_float16: LoadedModel) -> None:
    assert by_float16.batch_invariant
    check_bursts(by_float16, burst_of(by_float16), drafts=1, prefix_cache=True, overlap=False)


def check_bursts(loaded: LoadedModel, burst: Burst, drafts: int, prefix_cache: bool, overlap: bool) -> None:
    cases, expected = burst
    config = EngineConfig(
        max_seqs=12, max_batch_tokens=200, cache_tokens=1600, drafts=drafts, prefix_cache=prefix_cache, overlap=overlap
    )
    engine = loaded.engine(config)
    result = run_stress(engine, cases, expected, seed=drafts)
    engine.close()
    assert not result.wrong
    assert sum(case.params.constrained for case in cases) > 3
    assert result.finished > 12


@BF16
def test_a_token_does_not_depend_on_its_batch(loaded: LoadedModel) -> None:
    check_tokens(loaded)


def test_a_token_in_float16_does_not_depend_on_its_batch(by_float16: LoadedModel) -> None:
    check_tokens(by_float16)


def check_tokens(loaded: LoadedModel) -> None:
    """Deterministic mode rests on this: the same bits in a long prefill, in a short one, and in a decode step."""
    model, random = replace(loaded.model, absorbed=True), torch.Generator().manual_seed(0)
    for _ in range(12):
        length = int(torch.randint(2, 250, (1,), generator=random))
        tokens = torch.randint(2, VOCAB, (length,), generator=random)
        pages = torch.arange(4, dtype=torch.int32).unsqueeze(0)
        latent = model.new_latent(4)
        whole = model.forward(ForwardBatch(tokens, torch.arange(length), [length], [length], pages), latent)
        for start in torch.randint(0, length, (15,), generator=random).tolist():
            for end in (start + 1, min(start + 3, length)):
                rows = torch.arange(start, end)
                part = model.forward(ForwardBatch(tokens[rows], rows, [len(rows)], [end], pages), latent.clone())
                assert torch.equal(part, whole[start:end])


def test_without_the_order_of_rows_nothing_is_promised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AMX sums a row by its company: whoever lets it gets no batch-invariant mode."""
    loaded = load_model(folder, device="cpu", dtype="bfloat16")
    assert loaded.batch_invariant == cpu_multiplies_bf16()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "DEFAULT")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert not loaded.batch_invariant


def test_generate_is_the_model_alone(folder: Path) -> None:
    """Also in float32, where rounding may depend on the batch: one prompt alone."""
    llm = LLM(folder, device="cpu", dtype="float32", max_seqs=4)
    params = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
    completion = llm.generate("Why is the sky blue?", params)[0]
    prompt = llm.tokenizer.encode("Why is the sky blue?")
    assert prompt[0] == 0 and completion.prompt_tokens == len(prompt) == 21
    want = greedy_answer(llm.loaded.model, llm.loaded.model.new_latent(2), prompt, 40)
    assert completion.answers[0].tokens == want
    assert completion.text == llm.tokenizer.decode(want)
    llm.close()


def test_prompts_params_and_streams(folder: Path) -> None:
    llm = LLM(folder, device="cpu", max_seqs=4)
    assert llm.default_params == SamplingParams(temperature=0.0), "no generation_config.json: greedy"
    params = [SamplingParams(temperature=0.0, max_tokens=n, ignore_eos=True) for n in (3, 5)]
    both = llm.generate(["one", [5, 6, 7]], params)
    assert [len(c.answers[0].tokens) for c in both] == [3, 5]
    pieces = list(llm.stream("one", params[1]))
    assert [t for piece in pieces for t in piece.outputs[0].tokens][:3] == both[0].answers[0].tokens
    assert pieces[-1].finished and len(pieces) == 5
    for _ in llm.stream("one", SamplingParams(max_tokens=400, ignore_eos=True)):
        break
    assert llm.engine.metrics.finished[FinishReason.ABORT] == 1
    assert not llm.engine.has_work()
    with pytest.raises(HopwellError, match="2 prompts and 1 params"):
        llm.generate(["a", "b"], params[:1])
    with pytest.raises(RequestError, match="prompt"):
        llm.generate(["fine", [VOCAB]], params[0])
    assert not llm.engine.has_work()
    llm.engine.check()
    llm.close()


def test_a_model_that_cannot_be_had_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        load_model(tmp_path / "missing")
    for name in ("r1", "DeepSeek-R1"):
        with pytest.raises(ModelError, match=f"^{name} is a shipped config without weights"):
            load_model(name)
    with pytest.raises(ModelError, match="is a file"):
        load_model(folder / "config.json")
    with pytest.raises(ModelError, match="dtype 'int3'"):
        load_model(folder, device="cpu", dtype="int3")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(HopwellError, match=r"tokenizer\.json"):
        load_model(tmp_path)
    with pytest.raises(HopwellError, match="max_seqs"):
        LLM(folder, config=EngineConfig(), max_seqs=3)


def test_settings_that_the_model_cannot_meet_are_named(loaded: LoadedModel) -> None:
    with pytest.raises(EngineConfigError, match="max_model_len is 513"):
        loaded.engine(EngineConfig(max_model_len=513))
    with pytest.raises(EngineConfigError, match="cache_tokens is 63"):
        loaded.engine(EngineConfig(cache_tokens=63))


def test_the_cache_is_sized_by_what_slots_can_fill(loaded: LoadedModel) -> None:
    engine = loaded.engine(EngineConfig(max_seqs=3))
    assert engine.pools[0].num_pages == 3 * 512 // 64
    assert engine.model_len == 512
    assert loaded.engine(EngineConfig(cache_tokens=128)).model_len == 128, "a context that the cache cannot hold"


@pytest.mark.parametrize("drafts", [0, 1])
def test_nano_thinks_and_is_right(drafts: int) -> None:
    """The embedded model, prompted in its own format."""
    llm = LLM(device="cpu", max_seqs=4, drafts=drafts)
    prompt = "<｜begin▁of▁sentence｜><｜User｜>What is {} + {}?<｜Assistant｜><think>\n"
    sums = [(12, 30), (407, 589), (3, 8)]
    params = SamplingParams(temperature=0.0, max_tokens=200)
    for (a, b), completion in zip(sums, llm.generate([prompt.format(*s) for s in sums], params), strict=True):
        thought, _, answer = completion.text.partition("</think>")
        assert thought and f"boxed{{{a + b}}}" in answer
        assert completion.answers[0].finish_reason is FinishReason.STOP
    if drafts:
        assert llm.engine.metrics.acceptance_length > 1.7
    llm.close()


def test_what_is_closed_says_so(folder: Path) -> None:
    llm = LLM(folder, device="cpu", max_seqs=2)
    assert llm.generate([1, 2], SamplingParams(max_tokens=1))[0].answers
    llm.close()
    llm.close()
    for ask in (lambda: llm.generate([1, 2]), lambda: next(llm.stream([1, 2])), lambda: next(llm.each([[1, 2]]))):
        with pytest.raises(HopwellError, match="this LLM has been closed; make another"):
            ask()
