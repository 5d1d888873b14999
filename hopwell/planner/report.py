"""An answer in words: the table, the card of the best option, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hopwell.limits.prices import Prices
from hopwell.planner.evidence import nearest_rows, shares
from hopwell.planner.flips import flips, price_to_lose
from hopwell.planner.launch import launch_command
from hopwell.planner.memory import GIB
from hopwell.planner.question import Option, Question
from hopwell.planner.search import Answer
from hopwell.planner.simulate import Arrival, Tails, tails
from hopwell.planner.uncertainty import FIRST_ERROR, Band, chance, figures, product

HOPWELL = "Hopwell"
NOT_YET = "Hopwell does not run this layout yet: its kernels' times, put together"
DRAFT_NOTE = "MTP: acceptance depends on the texts; its range is in the band"


def spread(band: Band) -> str:
    """`31 (27-36)`: median, P10 and P90, without a decimal that means nothing."""
    if band.p10 == band.p90:
        return figures(band.p50)
    return f"{figures(band.p50)} ({figures(band.p10)}-{figures(band.p90)})"


def distinct(options: Iterable[Option]) -> list[Option]:
    """The best of every GPU and precision, in their order."""
    found: dict[tuple[str, str], Option] = {}
    for option in options:
        found.setdefault((option.gpu.name, option.precision.name), option)
    return list(found.values())


def simulated(answer: Answer, top: int, trace: Sequence[Arrival] = ()) -> list[Tails | None]:
    """Tails of the options that `table` shows."""
    return [tails(option, answer.question, trace) for option in distinct(answer.options)[:top]]


def with_tails(rows: list[dict[str, str]], found: Sequence[Tails | None]) -> list[dict[str, str]]:
    """A table with what was simulated."""
    none = {"p99 a token": "", "p99 to first": "", "kept": ""}
    return [
        {**row, **(none if each is None else {
            "p99 a token": figures(each.tpot_ms[2]), "p99 to first": figures(each.ttft_ms[2]),
            "kept": f"{100 * each.kept:.1f} %"})}
        for row, each in zip(rows, found, strict=True)
    ]  # fmt: skip


def tail_lines(found: Sequence[Tails | None], trace: bool) -> list[tuple[str, str]]:
    """What was simulated of the first option, for its card."""
    if not found:
        return []
    if (first := found[0]) is None:
        return [("tails", "not simulated: prompts have GPUs of their own")]
    came = "as the trace has them" if trace else "at random"
    return [
        ("tails", f"p50, p95, p99: {', '.join(map(figures, first.tpot_ms))} ms a token, "
                  f"{', '.join(map(figures, first.ttft_ms))} to first"),
        ("kept", f"{100 * first.kept:.1f} % of {first.requests:,} requests, {came}, keep both promises; simulated"),
    ]  # fmt: skip


def table(answer: Answer, top: int) -> list[dict[str, str]]:
    """One row an option."""
    return [
        {
            "": str(i + 1),
            "GPUs": f"{option.gpus} x {option.gpu.name}",
            "engine": option.engine.title,
            "weights": option.precision.name,
            "layout": _layout(option),
            "MTP": str(option.drafts or ""),
            "ms a token": spread(option.tpot_ms),
            "ms to first": figures(option.ttft_ms.p50),
            "most tok/s a GPU": spread(option.capacity.times(1 / option.gpus)),
            "$/h": figures(option.dollars_per_hour.p50),
            "$/M tokens": spread(option.dollars_per_million),
            "J a token": figures(option.joules_per_token.p50),
        }
        for i, option in enumerate(distinct(answer.options)[:top])
    ]


def _layout(option: Option) -> str:
    name = option.layout.name
    if option.prompts:
        return f"{option.replicas} x {name}, prompts {option.prompts.replicas} x {option.prompts.layout.name}"
    return f"{option.replicas} x {name}" if option.replicas > 1 else name


def card(answer: Answer, prices: Prices, model: str) -> list[tuple[str, str]]:
    """The best option as it would be started, what stands behind it and what would change it."""
    option, question = answer.options[0], answer.question
    return [
        *_figures(option, question, prices),
        *_grounds(answer),
        *_starts(answer, model, question.load.input + question.load.output),
    ]


def _figures(option: Option, question: Question, prices: Prices) -> list[tuple[str, str]]:
    memory, price = option.memory, prices.of(option.gpu.name)
    engine, point = option.engine, option.point
    on_evidence = ", ".join(f"{100 * share:.0f} % {kind}" for kind, share in shares(option).items() if share >= 0.005)
    weights = option.precision
    fraction = f"{engine.memory_fraction:g} of what is {'free' if engine.fraction_of_free else 'there'}"
    return [
        ("answer", option.name),
        ("engine", f"{engine.title} {engine.version}, profile of {engine.date}"),
        ("weights", f"experts {weights.experts}, attention {weights.attention}, other networks {weights.dense}"),
        ("cache", f"{weights.cache}, {memory.token / 1e3:,.1f} kB a token, {memory.tokens:,} tokens a replica"),
        ("memory", f"a GPU: weights {memory.weights / GIB:,.0f} GiB, latents {memory.cache / GIB:,.0f} of "
                   f"{memory.total / GIB:,.0f} GiB; the engine takes {fraction}"),
        ("users", f"{'' if option.replicas == 1 else f'each of {option.replicas} replicas: '}"
                  f"{figures(point.users)}, {figures(point.admitted)} at once; "
                  f"promises hold to {figures(option.most_users)}"),
        ("ms a token", f"{spread(option.tpot_ms)}; promised {figures(question.tpot_ms)}, "
                       f"kept with {chance_of(option.tpot_ms.p50, option.sigma, question.tpot_ms)}"),
        ("ms to first", f"{spread(option.ttft_ms)}; promised {figures(question.ttft_ms)}, "
                        f"kept with {chance_of(option.ttft_ms.p50, FIRST_ERROR, question.ttft_ms)}"),
        ("tokens/s", f"{spread(option.tokens_per_s)} out of all GPUs; they could make {spread(option.capacity)}"),
        ("power", f"{spread(option.watts.times(1e-3))} kW at the meter, {spread(option.joules_per_token)} J a token, "
                  f"{figures(option.tokens_per_s.p50 / option.watts.p50 * 1e6)} tokens/s a MW"),
        ("carbon", f"{spread(_co2(option, prices))} g a thousand tokens"),
        ("price", f"{spread(option.dollars_per_hour)} $/h rented, {spread(option.dollars_per_million)} $/M tokens; "
                  f"list of {prices.date}"),
        ("own", f"{figures(price.own.middle * option.gpus)} $/h for GPUs of one's own"),
        ("evidence", f"of a step {on_evidence}"),
    ]  # fmt: skip


def _grounds(answer: Answer) -> list[tuple[str, str]]:
    """What speaks for the best option, against it, and what would change it."""
    option, question = answer.options[0], answer.question
    lines = [("calibrated", text) for text in question.calibration.about(option.engine, option.gpu)]
    for row in nearest_rows(option, question):
        error = 100 * (row.predicted_tpot_ms() / row.tpot_ms - 1)
        lines.append(("public row", f"{row.title}: {row.tpot_ms:g} ms a token, predicted {error:+.0f} %"))
    for flip in flips(option, question):
        effect = f"{flip.tpot:.2f} x the time a token" if flip.fits else "as many users do not fit"
        lines.append(("if", f"{flip.what}: {effect}"))
    if rival := price_to_lose(answer.options):
        lines.append(("rival", f"{rival[0].name}: wins once {option.gpu.name} costs over {figures(rival[1])} $/h"))
    return lines + [("beware", warning) for warning in warnings(option)]


def _starts(answer: Answer, model: str, length: float) -> list[tuple[str, str]]:
    """How the best option is started, and by other engines on the same GPUs in the same precision.

    Args:
        length: of a context, in tokens.
    """
    option = answer.options[0]
    engine, weights = option.engine, option.precision
    lines = [("start", launch_command(option, model, length))]
    others: dict[str, Option] = {}
    for other in answer.options:
        if (other.gpu, other.precision.name) == (option.gpu, weights.name) and other.engine != engine:
            others.setdefault(other.engine.title, other)
    lines += [(f"or {title}", launch_command(other, model, length)) for title, other in others.items()]
    if engine.title != HOPWELL and HOPWELL not in others:
        lines.append((f"or {HOPWELL}", "as --engines hopwell says: this version lays models out as TP within a host"))
    return lines


def chance_of(value: float, sigma: float, limit: float) -> str:
    """`90 %`, or more than can be said."""
    percent = 100 * chance(value, sigma, limit)
    return "over 99 %" if percent > 99 else f"{percent:.0f} %"


def warnings(option: Option) -> list[str]:
    """What a reader must know before he buys."""
    found = []
    if not option.engine.can_run(option.layout, option.gpu):
        found.append(NOT_YET)
    if option.drafts:
        found.append(DRAFT_NOTE)
    if option.layout.gpus > option.gpu.domain:
        found.append(
            "over several hosts: exchanges rest on one table of one engine; published rows were 19 to 43 % faster"
        )
    if option.gpu.name in ("B300", "GB300"):
        found.append("B300: public rows of spring 2026 took a fifth to a third longer than B200's kernels would")
    if option.precision.name in ("nvfp4", "int4"):
        found.append("four bits: check the answers' quality, as with `hopwell verify`")
    return found


def _co2(option: Option, prices: Prices) -> Band:
    """Grams a thousand tokens."""
    kwh = option.joules_per_token.times(1e3 / 3.6e6)
    return product(Band(*prices.facility.co2).times(1e3), kwh)


def as_json(answer: Answer, prices: Prices, model: str, top: int, seen: Sequence[Tails | None] = ()) -> dict[str, Any]:
    """Everything, unrounded; with `tails`, where `seen` has them."""
    question = answer.question
    options = [_option(option, question, prices, model) for option in distinct(answer.options)[:top]]
    for option, found in zip(options, seen, strict=False):
        option["tails"] = None if found is None else asdict(found)
    return {
        "model": model,
        "parameters": question.model.parameters,
        "question": {
            "input": question.load.input, "output": question.load.output, "cached": question.load.cached,
            "rate": question.rate, "users": question.users, "ttft_ms": question.ttft_ms, "tpot_ms": question.tpot_ms,
            "sure": question.sure, "by": question.by,
        },
        "prices": {"date": prices.date, "files": list(prices.files)},
        "points": answer.points,
        "refused": answer.refused,
        "options": options,
    }  # fmt: skip


def _option(option: Option, question: Question, prices: Prices, model: str) -> dict[str, Any]:
    layout, memory = option.layout, option.memory
    return {
        "gpu": option.gpu.name,
        "gpus": option.gpus,
        "engine": {"name": option.engine.name, "version": option.engine.version, "date": option.engine.date},
        "precision": {"name": option.precision.name, "experts": option.precision.experts,
                      "attention": option.precision.attention, "cache": option.precision.cache},
        "layout": {"name": layout.name, "tp": layout.tp, "dp": layout.dp, "experts_cut": layout.expert_cut,
                   "experts_whole": layout.expert_whole},
        "drafts": option.drafts,
        "replicas": option.replicas,
        "prompts": None if option.prompts is None else
                   {"layout": option.prompts.layout.name, "replicas": option.prompts.replicas},
        "users": {"offered": option.point.users, "admitted": option.point.admitted, "most": option.most_users},
        "tpot_ms": option.tpot_ms._asdict(),
        "ttft_ms": option.ttft_ms._asdict(),
        "tokens_per_s": option.tokens_per_s._asdict(),
        "capacity_tokens_per_s": option.capacity._asdict(),
        "dollars_per_hour": option.dollars_per_hour._asdict(),
        "dollars_per_million_tokens": option.dollars_per_million._asdict(),
        "watts": option.watts._asdict(),
        "joules_per_token": option.joules_per_token._asdict(),
        "co2_g_per_thousand_tokens": _co2(option, prices)._asdict(),
        "memory": {"weights": memory.weights, "cache": memory.cache, "token": memory.token, "tokens": memory.tokens},
        "step_us": {op.name: op.us for op in option.point.decode},
        "evidence": shares(option),
        "calibrated": question.calibration.about(option.engine, option.gpu),
        "warnings": warnings(option),
        "start": launch_command(option, model, question.load.input + question.load.output),
    }  # fmt: skip


def markdown(answer: Answer, model: str, rows: Sequence[Mapping[str, str]], about: Iterable[tuple[str, str]]) -> str:
    """The table and the card `about` the first option, as a page."""
    head = f"# Plan for {model}\n\n{describe(answer.question)}\n"
    body = markdown_table(rows)
    refused = "".join(f"\n- {name}: {why}" for name, why in answer.refused.items())
    lines = "\n".join(f"| {label} | {text.replace('|', ' ')} |" for label, text in about)
    return f"{head}\n{body}\n{refused}\n\n## The first\n\n| | |\n|---|---|\n{lines}\n"


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with equal keys."""
    head = " | ".join(rows[0])
    lines = "\n".join(f"| {' | '.join(row.values())} |" for row in rows)
    return f"| {head} |\n|{'---|' * len(rows[0])}\n{lines}"


def describe(question: Question) -> str:
    """The question in a sentence."""
    load = question.load
    demand = "one replica at its best"
    if question.rate is not None:
        demand = f"{question.rate:g} requests a second"
    elif question.users is not None:
        demand = f"{question.users:g} users"
    cached = f", {100 * load.cached:.0f} % of the input cached" if load.cached else ""
    return (
        f"{load.input:,.0f} tokens in, {load.output:,.0f} out{cached}; {demand}; first token within "
        f"{figures(question.ttft_ms)} ms, each further one within {figures(question.tpot_ms)} ms, "
        f"kept with {100 * question.sure:.0f} %; ranked by {question.by}"
    )
