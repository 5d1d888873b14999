"""`hopwell inspect`, and a load from the command line, on whole and on broken checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import hopwell, refused
from safetensors.torch import save_file
from tiny import random_tensors, tiny_config, write_checkpoint
from tiny_tokenizer import write_tokenizer
from torch import Tensor

from hopwell.checkpoint.reader import INDEX
from hopwell.formats.fp8 import quantize_fp8_block

CONFIG = tiny_config("r1", num_hidden_layers=2, vocab_size=300)
NORM, DOWN = "model.norm.weight", "model.layers.1.mlp.experts.3.down_proj.weight"
Break = Callable[[Path, dict[str, Tensor]], None]


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    tensors = random_tensors(CONFIG, dtype=torch.bfloat16)
    tensors[DOWN], tensors[f"{DOWN}_scale_inv"] = quantize_fp8_block(tensors[DOWN])
    return tensors


@pytest.fixture
def folder(tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
    folder = write_checkpoint(tmp_path / "model", CONFIG, tensors)
    write_tokenizer(folder)
    return folder


@pytest.mark.slow
def test_r1_and_nano_on_one_screen() -> None:
    ran = hopwell("inspect", "deepseek-r1")
    assert ran.code == 0 and "671.03 B parameters" in ran.out and "688,574,839,360 bytes" in ran.out
    assert re.search(r"H200 .*741k / 4.78M", ran.out) and re.search(
        r"routed experts +89,088 +653.91 B +20.435 B", ran.out
    )
    assert max(map(len, ran.out.splitlines()[5:])) <= 80
    nano = hopwell("inspect")
    assert nano.code == 0 and "accounting: every tensor of the model is there once" in nano.out
    assert hopwell("inspect", "nano").out == nano.out


@pytest.mark.slow
def test_json_says_the_same(folder: Path) -> None:
    config_alone = json.loads(hopwell("inspect", "kimi-k2", "--json").out)
    assert config_alone["tensors"] == 139_583 and config_alone["accounting"] is None
    fits = {(fit["gpu"], fit["count"]): fit for fit in config_alone["fits"]}
    assert fits["B300", 2]["tensor_parallel"] is None and 1e5 < fits["B300", 4]["tensor_parallel"] < 1e6
    whole = json.loads(hopwell("inspect", folder, "--json", "--read").out)
    assert whole["accounting"] == {"counts": {}, "faults": []} and whole["name"] == "model"
    assert sum(part["bytes"] for part in whole["parts"]) == whole["bytes"]
    assert json.loads(hopwell("inspect", folder / "config.json", "--json").out)["parameters"] == whole["parameters"]


def rewrite(**changes: Tensor | None) -> Break:
    """Replaces tensors, with None removes them; `__` stands for a dot."""
    named = {name.replace("__", "."): tensor for name, tensor in changes.items()}

    def apply(folder: Path, tensors: dict[str, Tensor]) -> None:
        changed = {name: tensor for name, tensor in (tensors | named).items() if tensor is not None}
        save_file(changed, folder / "model.safetensors")

    return apply


def truncate(folder: Path, tensors: dict[str, Tensor]) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(10_000)


def scramble(folder: Path, tensors: dict[str, Tensor]) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(20)
        file.write(b"\xff\xff\xff")


def write(name: str, text: str) -> Break:
    def apply(folder: Path, tensors: dict[str, Tensor]) -> None:
        (folder / name).write_text(text)

    return apply


def scale(value: float) -> Break:
    return rewrite(**{f"{DOWN}_scale_inv": torch.full((1, 1), value)})


UNREADABLE: dict[str, tuple[Break, str]] = {
    "a truncated shard": (truncate, r"model.safetensors: (truncated|header of)"),
    "a corrupt header": (scramble, r"model.safetensors: corrupt header"),
    "an empty shard": (write("model.safetensors", ""), "truncated or not safetensors"),
    "a tensor in two shards": (
        lambda f, t: save_file({NORM: t[NORM]}, f / "more.safetensors"),
        rf"more.safetensors: tensor {NORM} is also in model.safetensors",
    ),
    "no shard": (lambda f, t: (f / "model.safetensors").unlink(), "holds no .*safetensors file"),
    "a config that is no JSON": (write("config.json", "{"), "config.json: not valid JSON"),
    "an unknown model_type": (
        write("config.json", json.dumps(CONFIG | {"model_type": "llama"})),
        "model_type is 'llama': a Llama model, as R1's distillations are",
    ),
    "a field out of range": (
        write("config.json", json.dumps(CONFIG | {"n_group": 5})),
        "n_group is 5, which does not divide n_routed_experts = 16",
    ),
}
FAULTY: dict[str, tuple[Break, str]] = {
    "a missing tensor": (rewrite(**{DOWN: None, f"{DOWN}_scale_inv": None}), f"tensor {DOWN} is missing"),
    "a surplus tensor": (rewrite(model__extra=torch.ones(1)), "tensor model.extra is not part of the model"),
    "a wrong shape": (rewrite(model__norm__weight=torch.ones(7)), rf"tensor {NORM} has shape \[7\], expected \[64\]"),
    "a wrong dtype": (rewrite(model__norm__weight=torch.ones(64, dtype=torch.int8)), f"tensor {NORM} is (I8|int8)"),
    "a scale of NaN": (scale(float("nan")), rf"tensor {DOWN}_scale_inv (is nan at \[0, 0\]|holds NaN)"),
    "a scale of zero": (scale(0.0), rf"tensor {DOWN}_scale_inv is 0.0 at \[0, 0\], expected finite and above 0"),
    "a weight of infinity": (
        rewrite(model__norm__weight=torch.full((64,), float("inf"))),
        rf"tensor {NORM} (is inf at \[0\]|holds NaN or infinity)",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_line(case: str, folder: Path, tensors: dict[str, Tensor]) -> None:
    breaks, message = UNREADABLE[case]
    breaks(folder, tensors)
    if case != "no shard":  # then the config alone is inspected
        assert re.search(message, refused("inspect", folder))
    assert re.search(message, refused("generate", "-m", folder, "hello"))


@pytest.mark.parametrize("case", FAULTY)
def test_what_does_not_fit_is_listed_and_not_loaded(case: str, folder: Path, tensors: dict[str, Tensor]) -> None:
    breaks, message = FAULTY[case]
    breaks(folder, tensors)
    ran = hopwell("inspect", folder, "--read")
    assert ran.code == 1 and re.search(f"fault: {message}", ran.out) and "accounting: 1 fault\n" in ran.out, ran.out
    assert re.search(message, refused("generate", "-m", folder, "hello"))


def test_a_whole_checkpoint_loads(folder: Path) -> None:
    assert hopwell("inspect", folder, "--read").code == 0
    ran = hopwell("generate", "-m", folder, "hello", "--raw", "--max-tokens", "3", "--json")
    assert ran.code == 0 and json.loads(ran.out)["finish_reason"], ran


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "tokenizer.json",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7847602\n",
            "pointer of Git LFS",
        ),
        ("generation_config.json", "[0.6]", r"generation_config\.json"),
        ("chat_template.jinja", "{% if %}", r"chat_template"),
    ],
)
def test_texts_that_a_server_could_not_read_are_warnings(folder: Path, name: str, text: str, message: str) -> None:
    assert "warning" not in hopwell("inspect", folder).out
    (folder / name).write_text(text)
    ran = hopwell("inspect", folder)
    assert ran.code == 0 and re.search(rf"warning: .*{message}", ran.out), ran.out


def test_many_faults_are_counted_and_an_index_that_errs_is_a_warning(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {NORM: "other.safetensors", "ghost": "model.safetensors"}}))
    ran = hopwell("inspect", folder)
    assert ran.code == 0 and ran.out.count("warning: ") == 3 and "lists 1 tensors that no shard holds, ghost" in ran.out
    save_file({name: t for name, t in tensors.items() if "experts.3." not in name}, folder / "model.safetensors")
    save_file({f"extra.{i}": torch.ones(1) for i in range(30)}, folder / "surplus.safetensors")
    ran = hopwell("inspect", folder)
    assert ran.code == 1 and ran.out.count("fault: ") == 20
    assert "accounting: 36 faults, 16 of them not shown (--json has all)" in ran.out
    counts = json.loads(hopwell("inspect", folder, "--json").out)["accounting"]["counts"]
    assert counts == {"missing": 6, "surplus": 30}


def test_names_that_are_nothing_are_refused(tmp_path: Path) -> None:
    assert "no such folder or file; shipped configs are" in refused("inspect", "deepseek-r3")
    assert "no such folder or file" in refused("inspect", tmp_path / "absent" / "model")
    assert "config.json: cannot read: " in refused("inspect", tmp_path)
    assert "holds no *.safetensors file to read" in refused("inspect", "deepseek-r1", "--read")
