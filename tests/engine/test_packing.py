"""Packed snapshots are the model that a load of the checkpoint makes, bit for bit; what differs is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from tiny_tokenizer import write_tokenizer

from benchmarks.bits import logits
from hopwell import LLM, SamplingParams
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import SNAPSHOT_FILE, read_json, write_json
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.loading import load_model
from hopwell.engine.packing import fingerprint, pack
from hopwell.errors import HopwellError
from hopwell.model import NANO
from hopwell.model.loading import config_of, load_transformer
from hopwell.model.sharding import Shard
from hopwell.model.snapshot import Snapshot, digest
from hopwell.model.tree import ALIGNMENT, Apart
from hopwell.ops.cpu import cpu_packs_float16
from hopwell.parallel.layout import Layout

DTYPES = [
    "bfloat16",
    "float32",
    pytest.param("float16", marks=pytest.mark.skipif(not cpu_packs_float16(), reason="no float16 on this CPU")),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny.tiny_config("r1", vocab_size=264)
    path = tiny.write_checkpoint(tmp_path_factory.mktemp("tiny") / "model", config, tiny.random_tensors(config))
    write_tokenizer(path)
    (path / "additional_chat_templates").mkdir()
    (path / "additional_chat_templates" / "tool_use.jinja").write_text("{{ messages }}")
    (path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    (path / "modeling.py").write_text("raise SystemExit")
    return path


@pytest.fixture(scope="module")
def as_packed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pack(checkpoint, out := tmp_path_factory.mktemp("once") / "packed", "cpu", "float32")
    return out


@pytest.fixture
def packed(as_packed: Path, tmp_path: Path) -> Path:
    """A copy of one's own, to be spoilt."""
    return Path(shutil.copytree(as_packed, tmp_path / "packed"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.slow
def test_nano_s_logits_and_tokens_keep_their_bits(dtype: str, tmp_path: Path) -> None:
    pack("nano", tmp_path / "nano", "cpu", dtype)
    llms = [LLM(model, device="cpu", dtype=dtype, max_seqs=2, meter=False) for model in (NANO, tmp_path / "nano")]
    for one, two in zip(*(logits(llm.loaded.model) for llm in llms), strict=True):
        assert torch.equal(one, two)
    prompt = llms[0].render([{"role": "user", "content": "What is 12 * 34?"}])
    assert prompt == llms[1].render([{"role": "user", "content": "What is 12 * 34?"}])
    greedy = SamplingParams(temperature=0.0, max_tokens=60, logprobs=1)
    first, second = (llm.generate([prompt], greedy)[0].answers[0] for llm in llms)
    assert first.tokens == second.tokens and first.logprobs == second.logprobs
    for llm in llms:
        llm.close()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("ep", "dp_attention"), [(1, False), (2, False), (1, True)])
@pytest.mark.slow
def test_every_rank_has_the_bytes_of_its_share(
    dtype: str, ep: int, dp_attention: bool, checkpoint: Path, tmp_path: Path
) -> None:
    kind = getattr(torch, dtype)
    for model in (checkpoint, NANO)[: 1 if dp_attention or ep > 1 else 2]:
        out = tmp_path / model.name
        snapshot = pack(model, out, "cpu", dtype, tp=2, ep=ep, dp_attention=dp_attention)
        for rank in (0, 1):
            shard = Shard(Layout(2, ep > 1, rank, dp_attention))
            wanted = Apart(load_transformer(Checkpoint.open(model), "cpu", kind, shard=shard))
            found = Apart(snapshot.load(torch.device("cpu"), kind, None, shard, False))
            assert wanted.tree == found.tree
            content, place = (out / f"rank-{rank}.weights").read_bytes(), 0
            for run in wanted.runs:
                assert run.numpy().tobytes() == content[place : place + len(run)]
                place += -(-len(run) // ALIGNMENT) * ALIGNMENT


@pytest.mark.slow
def test_two_ranks_give_the_tokens_of_the_checkpoint(tmp_path: Path) -> None:
    dtype = "bfloat16"
    pack(None, tmp_path / "nano", "cpu", dtype, tp=2)
    questions, found = ("What is 12 * 34?", "Tom has 12 apples and gives 5 to Ann. How many does he have?"), []
    for model in (None, tmp_path / "nano"):
        loaded = load_model(model, "cpu", dtype, tp=2)
        llm = LLM(loaded, max_seqs=2, meter=False)
        greedy = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
        prompts = [llm.render([{"role": "user", "content": question}], None) for question in questions]
        found.append([done.answers[0].tokens for done in llm.generate(prompts, greedy)])
        llm.close()
        loaded.close()
    assert found[0] == found[1] and all(len(set(tokens)) > 3 for tokens in found[0])


@pytest.mark.gpu
def test_on_a_gpu_logits_keep_their_bits(tmp_path: Path) -> None:
    pack(None, tmp_path / "nano", "cuda")
    models = [load_model(model, "cuda").model for model in (None, tmp_path / "nano")]
    assert models[1].device.type == "cuda"
    for one, two in zip(*map(logits, models), strict=True):
        assert torch.equal(one, two)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell what is mapped")
def test_a_cpu_s_weights_are_pages_of_the_file(packed: Path) -> None:
    model = load_model(packed, "cpu").model
    file = packed / "rank-0.weights"
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(file) in line]
    spans = [[int(end, 16) for end in line[0].split("-")] for line in lines]
    assert spans and all("s" not in line[1] for line in lines)  # private
    for tensor in (model.embedding, model.head.data, model.layers[0].attention.w_uk, model.rope_table):
        assert any(start <= tensor.data_ptr() < end for start, end in spans)
    before = file.read_bytes()
    model.embedding[:] = 1.0
    assert file.read_bytes() == before


def test_the_folder_is_a_model_by_itself(checkpoint: Path, packed: Path) -> None:
    found = sorted(str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file())
    assert found == [
        "additional_chat_templates/tool_use.jinja", "chat_template.jinja", "config.json", SNAPSHOT_FILE,
        "rank-0.weights", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    moved = packed.rename(packed.with_name("elsewhere"))
    loaded = load_model(moved, "cpu")
    assert loaded.name == "elsewhere" and loaded.model.dtype == torch.float32  # its own, not this CPU's
    assert loaded.prompts.render([{"role": "user", "content": "Hi"}])
    parts = {path: path.read_bytes() for path in moved.iterdir() if path.is_file()}
    pack(checkpoint, packed, "cpu", "float32")
    assert all((packed / path.name).read_bytes() == content for path, content in parts.items())


def test_without_an_mtp_layer(checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint that promises one and has dropped it."""
    config = json.loads((checkpoint / "config.json").read_text())
    whole = tiny.random_tensors(config)
    kept = {name: tensor for name, tensor in whole.items() if ".layers.3." not in name}
    path = tiny.write_checkpoint(tmp_path / "model", config, kept)
    write_tokenizer(path)
    snapshot = pack(path, tmp_path / "packed", "cpu", "float32")
    assert config_of(Checkpoint.open(path)) == snapshot.model_config and not snapshot.mtp
    assert not load_model(tmp_path / "packed", "cpu").model.has_mtp


def test_a_fingerprint_tells_models_of_one_shape_apart(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    again = tiny.write_checkpoint(tmp_path / "again", config, tiny.random_tensors(config))
    other = tiny.write_checkpoint(tmp_path / "other", config, tiny.random_tensors(config, seed=1))
    prints = [fingerprint(Checkpoint.open(path)) for path in (checkpoint, again, other)]
    assert prints[0] == prints[1] != prints[2]
    (again / "config.json").write_text(json.dumps(config | {"rope_theta": 5}))
    assert fingerprint(Checkpoint.open(again)) != prints[0]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def change(path: Path, **values: object) -> None:
    """As another Hopwell would have written it."""
    found = read_json(path / SNAPSHOT_FILE) | values
    del found["sha256"]
    write_json(path / SNAPSHOT_FILE, {**found, "sha256": digest(found)})


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (
        lambda path: flip(path / "rank-0.weights", 200_000),
        r"rank-0.weights: bytes 0 to \S+ are not what was packed \(embedding to \S+\); fetch the file or pack it again",
    ),
    "a flipped bit of the last page": (lambda path: flip(path / "rank-0.weights", -1), "are not what was packed"),
    "a truncated file": (
        lambda path: os.truncate(path / "rank-0.weights", 4096),
        r"rank-0.weights: has 4,096 bytes, \d\S+ were packed; fetch the file or pack it again",
    ),
    "a missing file": (lambda path: (path / "rank-0.weights").unlink(), "rank-0.weights: cannot read: No such file"),
    "a foreign version": (
        lambda path: change(path, version=3),
        r"hopwell_snapshot.json: is version 3 by hopwell \S+, this one is \S+ and reads version 2; pack it again",
    ),
    "another Hopwell": (
        lambda path: change(path, hopwell="9.9"),
        r"is version 2 by hopwell 9.9, this one is \S+ and reads version 2; pack it again",
    ),
    "a flipped bit of what it says": (
        lambda path: flip(path / SNAPSHOT_FILE, (path / SNAPSHOT_FILE).read_bytes().index(b'"stride"') + 2),
        "hopwell_snapshot.json: is not as it was written; fetch the file or pack it again",
    ),
    "another config": (
        lambda path: write_json(path / "config.json", read_json(path / "config.json") | {"rms_norm_eps": 1e-5}),
        "config.json: is not that of the weights; fetch it or pack them again",
    ),
    "nothing in it": (lambda path: change(path, target={}), "hopwell_snapshot.json: is no snapshot's: "),
    "no dtype": (
        lambda path: change(path, target=read_json(path / SNAPSHOT_FILE)["target"] | {"dtype": "float7"}),
        "hopwell_snapshot.json: is no snapshot's: .*float7",
    ),
    "a file elsewhere": (
        lambda path: change(
            path, parts=[part | {"file": "../rank-0.weights"} for part in read_json(path / SNAPSHOT_FILE)["parts"]]
        ),
        "hopwell_snapshot.json: is no snapshot's: ../rank-0.weights is empty, or another folder's; pack it again",
    ),
    "a part that is none": (
        lambda path: change(
            path, parts=[part | {"tree": {"type": "Popen"}} for part in read_json(path / SNAPSHOT_FILE)["parts"]]
        ),
        "rank-0.weights: cannot be put together: 'Popen'; pack it again",
    ),
    "a GPU's": (
        lambda path: change(path, target=read_json(path / SNAPSHOT_FILE)["target"] | {"device": "sm_90"}),
        r"packed: was packed for sm_90, not for cpu \(torch\); choose another --device, or pack it again for this one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_not_as_it_was_packed_is_one_line(name: str, packed: Path) -> None:
    damage, message = BREAKS[name]
    damage(packed)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(packed, "cpu")
    assert "\n" not in str(caught.value) and str(packed) in str(caught.value)


def test_settings_that_it_was_not_packed_for_are_named(checkpoint: Path, packed: Path, tmp_path: Path) -> None:
    for settings, message in (
        ({"tp": 2}, "packed: was packed for one rank, not for TP2; give --tp 1, or pack it again"),
        ({"dtype": "bfloat16"}, "was packed in float32, not in bfloat16; give --dtype float32, or pack it again"),
        ({"dtype": "float7"}, "dtype 'float7' is unknown"),
    ):
        with pytest.raises(HopwellError, match=message):
            load_model(packed, "cpu", **settings)
    both = tmp_path / "both"
    pack(checkpoint, both, "cpu", "float32", tp=2, ep=2)
    for settings in ({}, {"tp": 2}, {"tp": 4, "ep": 4}, {"tp": 2, "dp_attention": True}):
        with pytest.raises(CheckpointError, match=r"was packed for TP2 EP2, not for .+; give --tp 2 --ep 2, or pack"):
            load_model(both, "cpu", **settings)
    whole = Snapshot.open(packed).target
    assert whole.difference(whole) is None
    four_bits = whole.difference(replace(whole, four_bits="packed"))
    assert four_bits == "with four bits expanded; give --four-bits expanded, or pack it again"


def test_what_is_no_checkpoint_is_refused_by_name(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"packed: is a packed snapshot, which is only for loading and inspect"):
        pack(packed, tmp_path / "again", "cpu")
    assert not (tmp_path / "again").exists()


def test_a_pack_that_ends_before_its_end_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupted(done: int, total: int, name: str) -> None:
        assert 0 <= done <= total
        if name == "rank-1.weights":
            assert (tmp_path / "out.partial" / "rank-0.weights").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(checkpoint, out, "cpu", "float32", tp=2, progress=interrupted)
    assert os.listdir(tmp_path) == []
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(CheckpointError, match="out: exists already; give a new folder"):
        pack(checkpoint, out, "cpu", "float32")
    assert os.listdir(out) == ["mine"]


def test_what_cannot_be_packed_is_told_before_the_work(checkpoint: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint, bare)
    (bare / "tokenizer.json").unlink()
    for model, settings, message in (
        (checkpoint, {"tp": 3}, "num_attention_heads is 4, which 3 ranks cannot share"),
        (checkpoint, {"four_bits": "packed"}, "four_bits is 'packed', which is for GPUs"),
        (checkpoint, {"dtype": "float8"}, "dtype 'float8' is unknown"),
        (bare, {}, "tokenizer"),
    ):
        with pytest.raises(HopwellError, match=message):
            pack(model, tmp_path / "out", "cpu", **settings)
    assert os.listdir(tmp_path) == ["bare"]
