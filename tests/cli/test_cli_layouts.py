"""`--gpus N`: the layout that the planner ranks first among those that run, why, and what is refused with a remedy."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from commands import hopwell, refused

from hopwell.cli.gpus import Asked, choose_apart
from hopwell.cli.layouts import choose
from hopwell.engine.device import unlaid
from hopwell.engine.layouts import Held, Place, ways
from hopwell.limits.catalogue import find_gpu
from hopwell.limits.prices import read_prices
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import weight_bytes
from hopwell.model.four_bits import FourBits
from hopwell.model.inventory import inventory
from hopwell.model.shipped import find_config
from hopwell.parallel.layout import Layout, LayoutError
from hopwell.planner.choice import Served, question_of, ranked
from hopwell.planner.layout import layouts
from hopwell.planner.model import model_of
from hopwell.planner.search import search

H200 = find_gpu("h200")
FREE = 139 << 30


@functools.cache
def held(name: str, four_bits: bool = False) -> tuple[Held, dict[str, Any]]:
    values = find_config(name)
    values = FourBits.of("nvfp4", "fp8").described(values) if four_bits else values
    config, labels = ModelConfig.from_dict(values), dict[str, str]()
    specs = inventory(config)
    if four_bits:
        found = {spec.module: config.quantization.format_of(spec.module) for spec in specs if spec.quantisable}
        labels = {module: label for module, label in found.items() if label is not None}
    sizes = weight_bytes(specs, labels or None, four_bits, config.quantization)
    return Held.on_gpus(config, sizes, labels, four_bits), values


def chosen(name: str, gpus: int, objective: str = "latency", *, four_bits: bool = False, copies: bool = True) -> Any:
    model, values = held(name, four_bits)
    kept = "packed" if four_bits else "expanded"
    asked = Asked(model=name, gpus=gpus, objective=objective, four_bits=kept, copies=copies)
    return choose(asked, model, values, Place("cuda", FREE, 8), H200)


def test_one_user_of_r1_is_served_fastest_by_all_gpus_together() -> None:
    found = chosen("deepseek-r1", 4, four_bits=True)
    assert (found.tp, found.ep, found.dp_attention, found.copies) == (4, 1, False, 1)
    assert found.why.startswith("TP4 (4 GPUs, 105.") and " ms a token for one user" in found.why
    assert "DP attention, refused on GPUs as yet" in found.why and "x the cached tokens" in found.why


def test_objectives_choose_otherwise_where_the_planner_does() -> None:
    one, many = chosen("deepseek-v2-lite", 4), chosen("deepseek-v2-lite", 4, "throughput")
    assert (one.tp, one.copies) == (4, 1) and (many.tp, many.copies) == (1, 4)
    assert "tokens a second; 2 engines of TP2" in many.why
    assert "J a token" in chosen("deepseek-v2-lite", 4, "energy").why
    alone = chosen("deepseek-v2-lite", 4, "throughput", copies=False)
    assert (alone.tp, alone.copies) == (4, 1), "generate and chat have one engine"


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy"])
def test_the_order_is_that_of_hopwell_plan(objective: str) -> None:
    """All layouts asked about at once, as `hopwell plan` does, and one at a time."""
    model = model_of(find_config("deepseek-v2-lite"), "v2-lite")
    served = Served(model, H200, "bf16", "bf16", objective, mtp=False)
    tried = list(layouts(model, H200, "bf16", (1, 2, 4)))
    order = [option.layout for option in search(question_of(served, tried), read_prices()).options]
    assert len(order) > 2 and [option.layout for option in ranked(served, tried)][: len(order)] == order


def test_what_is_chosen_this_version_runs() -> None:
    for gpus in (1, 2, 3, 4, 6, 8):
        for way in ways(held("deepseek-v2-lite")[0], Place("cuda", FREE, 8), gpus, True):
            assert unlaid("cuda", way.layout) is None and way.ranks == gpus
    cpu = ways(held("deepseek-v2-lite")[0], Place("cpu", FREE), 2, False)
    assert [way.layout for way in cpu] == [
        Layout(2), Layout(2, ep=True), Layout(2, dp_attention=True), Layout(2, ep=True, dp_attention=True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "gpus", "copies", "says"),
    [
        ("deepseek-v2-lite", 3, False, r"^--gpus 3: 3 GPUs cannot share num_attention_heads.*; give --gpus 2 or 4$"),
        ("deepseek-v2-lite", 7, False, r"^--gpus 7: 7 GPUs cannot share .*; give --gpus 4 or 8$"),
        ("deepseek-r1", 4, True, r"^--gpus 4: the weights take 174.1 GB of each GPU as TP4, where 145.0 GB are left for"
         r" them; --gpus 8 takes 88.8 GB as TP8$"),
        ("deepseek-r1", 6, True, r"as 3 engines of TP2.*; --gpus 8 takes"),
        ("deepseek-r1", 9, True, r"^--gpus 9: this machine has 8 GPUs; give no more than that$"),
    ],
)  # fmt: skip
def test_what_does_not_do_is_refused_with_what_would(name: str, gpus: int, copies: bool, says: str) -> None:
    with pytest.raises(LayoutError, match=says):
        chosen(name, gpus, copies=copies)


def test_a_cut_never_splits_a_block() -> None:
    """V2-Lite's experts are 1,408 wide: in FP8 blocks of 128 eleven, which two GPUs do not share; whole experts would,
    if they ran there."""
    config = ModelConfig.from_dict(find_config("deepseek-v2-lite") | {"quantization_config": FP8})
    model = Held.on_gpus(config, weight_bytes(inventory(config)), {}, False)
    assert [way.layout.tp for way in ways(model, Place("cuda", FREE, 8), 2, True)] == [1]
    with pytest.raises(LayoutError, match=r"--gpus 2: .*; give --gpus 1$"):
        ways(model, Place("cuda", FREE, 8), 2, False)


FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def test_a_gpu_that_is_not_in_the_catalogue_is_told_so() -> None:
    model, values = held("deepseek-v2-lite")
    asked = Asked(model=None, gpus=4, objective="throughput", copies=True)
    found = choose(asked, model, values, Place("cuda", FREE, 8), None, "NVIDIA Whatever")
    assert found.copies == 4 and "NVIDIA Whatever is not in the planner's catalogue" in found.why


def test_on_a_cpu_what_a_step_reads_decides() -> None:
    model, values = held("deepseek-v2-lite")
    for objective, name in (("latency", "TP2 ("), ("throughput", "TP2 DP attention (")):
        found = choose(Asked(model=None, gpus=2, objective=objective), model, values, Place("cpu", 256 << 30), None)
        assert found.why.startswith(name) and "of the memory that they share" in found.why
    with pytest.raises(LayoutError, match=r"of each process as TP2, where 8.6 GB are left for them; up to 64 such pro"):
        choose(Asked(model=None, gpus=2), model, values, Place("cpu", 16 << 30), None)


@pytest.mark.slow
def test_in_a_process_of_its_own_it_is_the_same_and_refusals_come_back() -> None:
    found = choose_apart(Asked(model=None, gpus=2, device="cpu"))
    assert (found.tp, found.dp_attention, found.copies) == (2, False, 1) and found.why.startswith("TP2 (2 processes")
    with pytest.raises(Exception, match=r"^--gpus 3: 3 processes cannot share num_attention_heads 4, .*--gpus 2 or 4$"):
        choose_apart(Asked(model=None, gpus=3, device="cpu"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate", "x", "--gpus", "2", "--tp", "1"), "--gpus 2 chooses how the model lies; leave --tp out"),
        (("serve", "--gpus", "2", "--dp", "2", "--ep", "2"), "leave --ep and --dp out"),
        (("serve", "--gpus", "2", "--dp-attention"), "leave --dp-attention out"),
        (("serve", "--gpus", "2", "--prefill-engines", "1"), "leave --prefill-engines out"),
        (("serve", "--gpus", "2", "--objective", "fun"), "is 'fun'; known: latency, throughput, energy"),
        (("generate", "x", "--gpus", "3", "--device", "cpu"), "give --gpus 2 or 4"),
        (("generate", "x", "--gpus", "65", "--device", "cpu"), "--gpus is 65; give 1 to 64"),
    ],
)  # fmt: skip
def test_options_that_contradict_it_are_refused_by_name(arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments)


@pytest.mark.slow
def test_two_processes_of_a_cpu_answer_and_say_why() -> None:
    ran = hopwell("generate", "What is 12 * 34?", "--gpus", "2", "--device", "cpu", "--temperature", "0")
    assert "408" in ran.out and "layout: TP2 (2 processes" in ran.err


def test_inspect_says_how_serve_would_lay_it() -> None:
    assert "layout: 2 engines of one rank (2 processes" in hopwell("inspect", "--gpus", "2").out
    found = [hopwell("inspect", name, "--gpus", "2") for name in ("v2-lite", "V2-Lite", "deepseek-v2-lite")]
    assert len({(each.code, each.err) for each in found}) == 1 and "no such folder" not in found[0].err
