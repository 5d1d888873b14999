"""Conversions of a small model: read back, interrupted everywhere, and refused where they must be."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import linear_shapes, random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.errors import HopwellError
from hopwell.formats.blocks import FP8_BLOCK, NVFP4, quantize
from hopwell.model.loading import load_transformer
from hopwell.model.transformer import Transformer
from hopwell.quantization import convert as conversions
from hopwell.quantization import files
from hopwell.quantization.convert import Conversion
from hopwell.quantization.divergence import Yardstick
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.plan import Goal, Settings, bytes_below, parse_budget, parse_bytes, parse_fit
from hopwell.quantization.verify import verify
from hopwell.system import lock_folder

SEQUENCES = [torch.randint(0, 128, (160,), generator=torch.Generator().manual_seed(i)).tolist() for i in range(16)]
FRESH = [torch.randint(0, 128, (160,), generator=torch.Generator().manual_seed(90 + i)).tolist() for i in range(4)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config("r1", num_hidden_layers=2, n_routed_experts=8)
    return write_checkpoint(tmp_path_factory.mktemp("source"), config, random_tensors(config, dtype=torch.bfloat16))


def convert(source: Path, out: Path, goal: Goal, **settings: Any) -> dict[str, Any]:
    return Conversion(source, out, Settings(goal, **settings), SEQUENCES, lambda line: None).run()


@pytest.fixture(scope="module")
def nvfp4(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nvfp4") / "out"
    convert(source, out, Goal(format="nvfp4"))
    return out


@pytest.mark.gpu
def test_a_gpu_converts_as_well_as_a_cpu(source: Path, nvfp4: Path, tmp_path: Path) -> None:
    """Sums end in other bits, so codes differ; what they do to held-out rows does not."""
    settings = Settings(Goal(format="nvfp4"))
    report = Conversion(source, tmp_path / "out", settings, SEQUENCES, lambda line: None, device="cuda").run()
    errors = [
        [e for g in r["groups"] for d in g["formats"].values() for e in d["after"]]
        for r in (report, json.loads((nvfp4 / REPORT).read_text()))
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.2)


def loaded(path: Path) -> Transformer:
    return load_transformer(Checkpoint.open(path), "cpu", torch.float32)


def test_modelopt_files_load_and_stay_close(source: Path, nvfp4: Path, tmp_path: Path) -> None:
    assert not (nvfp4 / ".work").exists()
    assert len({path.stat().st_mode for path in nvfp4.iterdir()}) == 1  # whoever may read one file may read all
    report = json.loads((nvfp4 / REPORT).read_text())
    assert report["bits_per_weight"] == pytest.approx(4.5, abs=0.1)
    shards = list(nvfp4.glob("*.safetensors"))
    held = sum(t.nbytes for shard in shards for t in load_file(shard).values())
    index = json.loads((nvfp4 / "model.safetensors.index.json").read_text())
    assert held == report["tensor_bytes"] == index["metadata"]["total_size"]  # without headers, as others count
    assert sum(shard.stat().st_size for shard in shards) == report["file_bytes"] > held
    told = f"| bytes of the tensors | {held:,} (source: {Checkpoint.open(source).total_bytes:,}) |"
    assert told in (nvfp4 / "PRECISION.md").read_text()
    assert all(
        a <= b
        for g in report["groups"]
        for d in g["formats"].values()
        for a, b in zip(d["after"], d["before"], strict=True)
    )
    convert(source, tmp_path / "plain", Goal(format="nvfp4"), compensate=False)
    reference = loaded(source)
    compensated, plain = (Yardstick(reference, FRESH).measure(loaded(p)).mean for p in (nvfp4, tmp_path / "plain"))
    assert 0 < compensated < 0.75 * plain
    quantized = json.loads((nvfp4 / "hf_quant_config.json").read_text())["quantization"]
    assert quantized["quant_algo"] == "MIXED_PRECISION" and "lm_head" in quantized["exclude_modules"]
    tensors = load_file(nvfp4 / "model-layer-001.safetensors")
    prefix = "model.layers.1.mlp.experts.3."
    for name in ("weight_scale_2", "input_scale"):  # shared by what engines fuse
        assert tensors[f"{prefix}gate_proj.{name}"] == tensors[f"{prefix}up_proj.{name}"] > 0
    assert all(t.isfinite().all() for n, t in tensors.items() if "scale" in n for t in [t.float()])
    assert "<svg" in (nvfp4 / "precision.html").read_text() and "| layer |" in (nvfp4 / "PRECISION.md").read_text()


@pytest.mark.slow
def test_both_layouts_hold_the_same_values(source: Path, nvfp4: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "ct", Goal(format="nvfp4"), writer="compressed-tensors")
    ours, packed = (
        load_file(nvfp4 / "model-layer-000.safetensors"),
        load_file(tmp_path / "ct/model-layer-000.safetensors"),
    )
    for name, tensor in ours.items():
        if name.endswith(".weight") and tensor.dtype == torch.uint8:
            assert torch.equal(packed[name + "_packed"], tensor)
    base = pytest.importorskip("compressed_tensors.compressors.nvfp4.base")
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.quantization.quant_scheme import NVFP4, QuantizationScheme

    described = json.loads((tmp_path / "ct/config.json").read_text())["quantization_config"]
    group = QuantizationConfig.model_validate(described).config_groups["group_0"]
    scheme = QuantizationScheme(targets=["Linear"], **NVFP4)
    for mine, theirs in ((group.weights, scheme.weights), (group.input_activations, scheme.input_activations)):
        for name in ("num_bits", "type", "strategy", "symmetric", "dynamic", "group_size"):
            assert getattr(mine, name) == getattr(theirs, name)
    module = "model.layers.0.self_attn.o_proj"
    state = {k.rpartition(".")[2]: v for k, v in packed.items() if k.startswith(module)}
    theirs = base.NVFP4PackedCompressor.decompress(state, scheme)["weight"].float()
    model = loaded(tmp_path / "ct")
    torch.testing.assert_close(theirs, model.layers[0].attention.o.data, rtol=2**-7, atol=0)


# each run writes identity.json anew, and each that gets there all shards: first one new file a run, then more
EVERY_WRITE = (0, 1, *[2] * 3, *range(2, 20, 3))


@pytest.mark.slow
def test_killed_before_a_write_it_ends_with_the_same_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, given = Goal(bits=5.5), {"formats": ("nvfp4", "nvfp4+10%"), "writer": "hopwell"}
    convert(source, tmp_path / "whole", goal, **given)

    class Killed(BaseException):
        pass

    replace, kills, writes = Path.replace, 0, 0

    def dying(self: Path, target: Path) -> Path:
        nonlocal writes
        writes += 1
        if writes > EVERY_WRITE[kills]:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    while True:
        writes = 0
        try:
            convert(source, tmp_path / "killed", goal, **given)
            break
        except Killed:
            kills += 1
    assert kills >= 8
    monkeypatch.undo()
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == names
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


@pytest.mark.slow
def test_budgets_are_kept_on_fresh_text_and_the_bytes_fall_with_them(source: Path, tmp_path: Path) -> None:
    sizes = []
    for kl in (0.02, 0.002):
        out = tmp_path / f"kl{kl}"
        report = convert(source, out, parse_budget(f"kl={kl}"))
        verdict = verify(out, source, FRESH)
        assert verdict.budget == kl and verdict.kept and verdict.fingerprints == len(report["sha256"])
        sizes.append(report["linear_bytes"])
    assert sizes[0] < sizes[1]
    uniform = convert(source, tmp_path / "uniform", Goal(bits=8.0), uniform_experts=True)
    for layer in (0, 1):
        formats = {g["chosen"] for g in uniform["groups"] if g["layer"] == layer and g["part"] == "routed_experts"}
        assert len(formats) <= 1


def test_one_changed_bit_is_found(nvfp4: Path, tmp_path: Path) -> None:
    for path in nvfp4.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = tmp_path / "model-layer-001.safetensors"
    tensors = load_file(shard)
    loaded(tmp_path)
    name = "model.layers.1.self_attn.o_proj.weight"
    tensors[name][0, 0] ^= 1
    save_file(tensors, shard)
    with pytest.raises(CheckpointError, match=f"{re.escape(name)} is not what the conversion wrote"):
        loaded(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no folder can be locked there")
def test_two_processes_do_not_convert_into_one_folder(source: Path, tmp_path: Path) -> None:
    """The first to end removed what the other was made of, after all its work."""
    out = tmp_path / "out"
    out.mkdir()
    lock = lock_folder(out)
    assert lock is not None
    with pytest.raises(PrecisionError, match="out: another process is writing it; wait for it, or stop it"):
        convert(source, out, Goal(format="nvfp4"), compensate=False)
    os.close(lock)
    convert(source, out, Goal(format="nvfp4"), compensate=False)
    assert loaded(out) and not (out / ".work").exists()


@pytest.mark.slow
def test_refusals_say_what_would_do(source: Path, nvfp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrecisionError, match=r"the best is 4\.5\d*bpw"):
        convert(source, tmp_path / "a", Goal(bits=3.0))
    with pytest.raises(PrecisionError, match=r"20,000 bytes cannot be reached; the best is [\d,]+"):
        convert(source, tmp_path / "b", parse_bytes("20kB"))
    with pytest.raises(PrecisionError, match="converted by Hopwell already"):
        convert(nvfp4, tmp_path / "c", Goal(format="nvfp4"))
    with pytest.raises(PrecisionError, match="100 tokens; give 2,048"):
        Conversion(source, tmp_path / "d", Settings(Goal(format="nvfp4")), [[1] * 100])
    with pytest.raises(PrecisionError, match="not empty"):
        convert(source, nvfp4, Goal(format="nvfp4"))
    with pytest.raises(PrecisionError, match="unknown; known"):
        convert(source, tmp_path / "e", Goal(bits=5), formats=("fp3",))
    with pytest.raises(PrecisionError, match="no layout for int4"):
        convert(source, tmp_path / "f", Goal(bits=5), formats=("int4_g32",))
    monkeypatch.setattr(
        files, "save_file", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(PrecisionError, match="disk is full; make room and run again"):
        convert(source, tmp_path / "g", Goal(format="nvfp4"))


@pytest.mark.parametrize(
    "goal, formats, keep",
    (
        (Goal(bits=6.0), ("mxfp4+20%", "fp8_block"), ()),
        (Goal(format="nvfp4"), ("nvfp4",), ()),
        pytest.param(Goal(format="int4_g32"), ("nvfp4",), ("attention", "shared_experts"), marks=pytest.mark.slow),
        pytest.param(parse_bytes("3MB"), ("nvfp4", "fp8_block"), ("dense",), marks=pytest.mark.slow),
    ),
)
@pytest.mark.slow
def test_the_room_asked_for_is_the_room_taken(
    goal: Goal, formats: tuple[str, ...], keep: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(
        "r1", num_hidden_layers=2, num_nextn_predict_layers=0, n_routed_experts=8, hidden_size=256,
        moe_intermediate_size=256,
    )  # fmt: skip
    source = write_checkpoint(tmp_path / "source", config, random_tensors(config, dtype=torch.bfloat16))
    hidden = 2 * 4 * 256 * sum(len(s) for i, s in enumerate(SEQUENCES) if i % 4)
    asked: list[int] = []
    monkeypatch.setattr(conversions, "check_room", lambda out, need: asked.append(need))
    settings = Settings(goal, "hopwell", formats, compensate=False, keep=keep)

    def begin(say: Callable[[str], None] = lambda line: None) -> Conversion:
        return Conversion(source, tmp_path / "out", settings, SEQUENCES, say)

    begin().candidates.make()
    taken = [bytes_below(tmp_path / "out")]
    begin(lambda line: taken.append(bytes_below(tmp_path / "out"))).run()
    assert 0.75 * (asked[0] - hidden) < max(taken) < asked[0]
    assert asked[1] == asked[0] - taken[0]  # what is there already is not asked for again


def test_a_place_that_cannot_be_written_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PrecisionError, match=r"file/out/\.work: cannot write: .*Not a directory"):
        convert(source, tmp_path / "file/out", Goal(format="nvfp4"))


def test_a_model_that_makes_nan_is_named(tmp_path: Path) -> None:
    config = tiny_config("r1", num_hidden_layers=2, num_nextn_predict_layers=0)
    tensors = random_tensors(config, dtype=torch.bfloat16)
    tensors["model.embed_tokens.weight"][SEQUENCES[1][0]] = torch.inf
    write_checkpoint(tmp_path / "broken", config, tensors)
    with pytest.raises((PrecisionError, CheckpointError), match="NaN or infinity"):
        convert(tmp_path / "broken", tmp_path / "out", Goal(format="nvfp4"))


def test_fp8_weights_that_overflow_are_named(tmp_path: Path) -> None:
    config = tiny_config("r1", num_hidden_layers=2, num_nextn_predict_layers=0)
    tensors, name = random_tensors(config, dtype=torch.bfloat16), "model.layers.0.self_attn.o_proj"
    for module in linear_shapes(config):
        q = quantize(tensors[f"{module}.weight"].float(), FP8_BLOCK)
        tensors |= {f"{module}.weight": q.elements.to(torch.float8_e4m3fn), f"{module}.weight_scale_inv": q.scale}
    tensors[f"{name}.weight_scale_inv"].fill_(3e38)  # finite, as are the codes
    config |= {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"}}
    write_checkpoint(tmp_path / "broken", config, tensors)
    for compensate in (False, True):
        with pytest.raises(PrecisionError, match=rf"^{re.escape(name)}: the weights, .* hold infinity"):
            convert(tmp_path / "broken", tmp_path / f"out-{compensate}", Goal(format="nvfp4"), compensate=compensate)


def test_what_was_decided_of_the_source_s_cache_is_not_taken_over(source: Path, tmp_path: Path) -> None:
    judged = tmp_path / "judged"
    shutil.copytree(source, judged)
    for name in ("hopwell_cache.json", "generation_config.json"):
        (judged / name).write_text("{}")
    convert(judged, tmp_path / "out", Goal(format="nvfp4"), compensate=False)
    assert not (tmp_path / "out/hopwell_cache.json").exists() and (tmp_path / "out/generation_config.json").exists()


def test_goals_are_parsed_or_refused() -> None:
    assert parse_bytes("4.5bpw") == Goal(bits=4.5) and parse_bytes("380GB") == Goal(nbytes=380_000_000_000)
    assert parse_fit("8xH100").nbytes == 8 * int(81559 * 2**20 * 0.94) - 60 * 10**9
    wrong = {parse_budget: ["ppl=3"], parse_bytes: ["4.5", "infGB", "infbpw", "1e300GB"], parse_fit: ["8xH21", "1xB0"]}
    for parse, text in ((parse, text) for parse, texts in wrong.items() for text in texts):
        with pytest.raises(HopwellError, match="give"):
            parse(text)
    assert NVFP4.columns == 16
