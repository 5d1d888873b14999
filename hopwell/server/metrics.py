"""The engine's counts as Prometheus metrics: `hopwell_*`, and the names of vLLM's that benches and dashboards read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from hopwell.engine.metrics import Histogram, Metrics
from hopwell.engine.request import FinishReason
from hopwell.limits.energy import EnergyTotals
from hopwell.limits.history import Totals
from hopwell.limits.pacing import PacingState
from hopwell.limits.thermal import ThermalState

COUNTERS = {
    "steps": ("Steps of the engine.", None),
    "prompt_tokens": ("Prompt tokens of admitted requests.", "vllm:prompt_tokens"),
    "generated_tokens": ("Tokens generated.", "vllm:generation_tokens"),
    "computed_tokens": ("Rows computed, recomputation and rejected drafts included.", None),
    "preemptions": ("Sequences whose pages were taken to let others run.", "vllm:num_preemptions"),
    "cache_lookup_tokens": ("Prompt tokens looked up in the prefix cache.", "vllm:prefix_cache_queries"),
    "cache_hit_tokens": ("Prompt tokens found there.", "vllm:prefix_cache_hits"),
    "cache_evicted_pages": ("Pages given up.", None),
    "cache_recomputed_tokens": ("Prompt tokens computed again after their page was given up.", None),
    "tier_saved_pages": ("Pages copied to host memory.", None),
    "tier_written_pages": ("Pages written to disk, or to a shared store.", None),
    "tier_unwritten_pages": ("Pages that the disk or store did not take.", None),
    "draft_steps": ("Steps of a sequence that verified drafts.", "vllm:spec_decode_num_drafts"),
    "drafted_tokens": ("Tokens proposed.", "vllm:spec_decode_num_draft_tokens"),
    "accepted_tokens": ("Proposed tokens accepted.", "vllm:spec_decode_num_accepted_tokens"),
}
GAUGES = {
    "running": ("Sequences in the batch.", "vllm:num_requests_running"),
    "waiting": ("Sequences that wait.", "vllm:num_requests_waiting"),
    "pages_total": ("Pages of the latent cache.", None),
    "pages_free": ("Pages neither used nor kept for reuse.", None),
    "pages_cached": ("Pages kept for reuse.", None),
    "host_pages": ("Pages in host memory.", None),
    "disk_pages": ("Pages on disk.", None),
}
HISTOGRAMS = {
    "ttft": ("Seconds to the first token.", "ttft_seconds", "vllm:time_to_first_token_seconds"),
    "tpot": ("Seconds a token after the first.", "tpot_seconds", "vllm:request_time_per_output_token_seconds"),
    "itl": ("Seconds between a sequence's outputs.", "itl_seconds", "vllm:inter_token_latency_seconds"),
    "queue_time": ("Seconds until a request first ran.", "queue_seconds", "vllm:request_queue_time_seconds"),
    "e2e": ("Seconds of whole requests.", "e2e_seconds", "vllm:e2e_request_latency_seconds"),
    "step_time": ("Seconds a step.", "step_seconds", None),
    "host_time": ("Seconds a step of the engine's own thread, beside its device.", "host_seconds", None),
    "prompt_length": ("Tokens of prompts.", "request_prompt_tokens", "vllm:request_prompt_tokens"),
    "answer_length": ("Tokens of answers.", "request_generated_tokens", "vllm:request_generation_tokens"),
    "eviction_age": ("Seconds since a page's last use when it was given up.", "cache_eviction_age_seconds", None),
}
METERED = {
    "seconds": "Seconds of an op in the measured steps, all layers together.",
    "bytes": "Bytes that it moved at least.",
    "flops": "FLOPs that it did at least.",
    "limit_seconds": "Seconds that those take at the measured ceilings.",
}
SUMS = {"limit_seconds": "floor"}
BOARD = {
    "watts": "Power of the GPU's board.",
    "degrees": "Its temperature, Celsius.",
    "sm_mhz": "Clock of its multiprocessors.",
    "memory_mhz": "Clock of its memory.",
}
STOPPED = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.ABORT: "abort"}


class EngineCollector(Collector):
    """Reads engines' plain numbers when a scraper asks; an engine itself knows no format."""

    def __init__(self, engines: Mapping[int, Metrics], name: str, label: bool) -> None:
        """
        Args:
            name: of the model.
            label: whether samples tell of which engine they are: sums of several would fall when one starts anew.
        """
        self.engines, self.name, self.label = engines, name, label

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for number, metrics in self.engines.items():
            for family in self._of(metrics):
                if self.label:
                    own = {"engine": str(number + 1)}
                    family.samples = [each._replace(labels={**each.labels, **own}) for each in family.samples]
                families.setdefault(family.name, family)
                if families[family.name] is not family:
                    families[family.name].samples += family.samples
        yield from families.values()

    def _of(self, metrics: Metrics) -> Iterator[Metric]:
        model = [self.name]
        for attribute, (text, alias) in COUNTERS.items():
            for name in _names(attribute, alias):
                yield _counter(name, text, model, getattr(metrics, attribute))
        for attribute, (text, alias) in GAUGES.items():
            for name in _names(attribute, alias):
                yield _gauge(name, text, model, getattr(metrics, attribute))
        for attribute, (text, own, alias) in HISTOGRAMS.items():
            for name in _names(own, alias):
                yield _histogram(name, text, model, getattr(metrics, attribute))
        used = metrics.pages_total - metrics.pages_free - metrics.pages_cached
        share = used / metrics.pages_total if metrics.pages_total else 0.0
        yield _gauge("vllm:kv_cache_usage_perc", "Share of the cache in use, 0 to 1.", model, share)
        yield _gauge("hopwell_acceptance_length", "Mean tokens of a verifying step.", model, metrics.acceptance_length)
        accepted = {str(position): count for position, count in enumerate(metrics.accepted_at)}
        for name in _names("accepted_tokens_per_pos", "vllm:spec_decode_num_accepted_tokens_per_pos"):
            yield _counters(name, "Drafts accepted at each position.", model, "position", accepted)
        yield from _ends(metrics, model)
        yield from _tiers(metrics, model)
        if metrics.energy is not None:
            yield from _energy(metrics.energy, model)
        if metrics.meter is not None:
            yield from _meter(metrics.meter, model)
        if metrics.pacing is not None:
            yield from _pacing(metrics.pacing, model)
        if metrics.thermal is not None:
            yield from _thermal(metrics.thermal, model)


def _ends(metrics: Metrics, model: list[str]) -> Iterator[Metric]:
    """How answers ended, and which promises were kept."""
    stopped = {STOPPED[FinishReason(why)]: count for why, count in list(metrics.finished.items()) if why in STOPPED}
    yield _counters("vllm:request_success", "Ended answers.", model, "finished_reason", stopped)
    yield _counters("hopwell_finished", "Ended answers.", model, "reason", metrics.finished)
    yield _counters("hopwell_faults", "Answers ended by a fault.", model, "kind", metrics.faults)
    yield _counters("hopwell_requests", "Ended requests.", model, "latency_class", metrics.classes)
    yield _counters("hopwell_latency_missed", "Promises not kept.", model, "latency_class limit", metrics.missed)


def _energy(totals: EnergyTotals, model: list[str]) -> Iterator[Metric]:
    """Joules by tenant and phase, of idle time, and those that later steps pay: together the hardware's counter."""
    labels = ["model_name", "tenant", "phase"]
    family = CounterMetricFamily("hopwell_energy_joules", "Energy of steps, by whom they served.", labels=labels)
    for tenant, joules in list(totals.tenants.items()):
        family.add_metric([*model, tenant, "prompt"], joules.prompt)
        family.add_metric([*model, tenant, "decode"], joules.decode)
    yield family
    yield _counter("hopwell_energy_idle_joules", "Energy while no step ran.", model, totals.idle)
    yield _gauge("hopwell_energy_owed_joules", "Energy of steps that the next ones will pay.", model, totals.owed)


def _pacing(state: PacingState, model: list[str]) -> Iterator[Metric]:
    """What is held so that more share a step, and why."""
    seconds = {"steps": state.held_seconds, "prompts": state.prompt_seconds}
    yield _counters("hopwell_held_seconds", "While steps, or prompts, were held.", model, "what", seconds)
    yield _gauge("hopwell_pace_seconds", "From step to step, as aimed at; 0: none is held.", model, state.pace or 0.0)
    family = GaugeMetricFamily("hopwell_pacing", "1.", labels=["model_name", "objective", "why"])
    family.add_metric([*model, state.objective, state.reason], 1)
    yield family


def _thermal(state: ThermalState, model: list[str]) -> Iterator[Metric]:
    """Whether degrees keep batch work out."""
    yield _gauge("hopwell_hot", "Whether requests of class batch wait for GPUs to cool.", model, state.hot)
    yield _counter("hopwell_hot_times", "That GPUs became too hot.", model, state.times)
    yield _gauge("hopwell_shed_sequences", "Sequences that wait for it.", model, state.held)
    yield _gauge("hopwell_hottest_degrees", "Of the hottest GPU, Celsius.", model, state.degrees or 0)


def _meter(totals: Totals, model: list[str]) -> Iterator[Metric]:
    """The live meter's: rates of these are microseconds, GB/s, TFLOP/s and the fraction of the limit."""
    yield _counter("hopwell_meter_steps", "Steps measured op by op.", model, totals.measured)
    for name, text in METERED.items():
        found = {op: getattr(sums, SUMS.get(name, name)) for op, sums in totals.ops.items()}
        yield _counters(f"hopwell_meter_op_{name}", text, model, "op", found)
    yield _gauge("hopwell_meter_every", "Steps from one that is measured to the next.", model, totals.every)
    yield _gauge("hopwell_meter_overhead", "Share of the time that measuring takes.", model, totals.overhead)
    yield _gauge("hopwell_limit_bytes_per_second", "Measured ceiling of memory.", model, totals.bytes_per_s)
    rates, text = {form or "other": rate for form, rate in totals.flops_per_s.items()}, "Measured ceiling of products."
    yield _gauges("hopwell_limit_flops_per_second", text, model, "format", rates)
    for name, text in BOARD.items():
        value = None if totals.board is None else getattr(totals.board, name)
        if value is not None:
            yield _gauge(f"hopwell_gpu_{name}", text, model, value)


def _tiers(metrics: Metrics, model: list[str]) -> Iterator[Metric]:
    """What tiers below the pool brought and lost."""
    text = "Prompt tokens from a tier."
    yield _counters("hopwell_tier_hit_tokens", text, model, "tier", metrics.tier_hit_tokens)
    text = "Pages known, but sooner computed than fetched."
    yield _counters("hopwell_tier_declined_pages", text, model, "tier", metrics.tier_declined_pages)
    yield _counters("hopwell_tier_faults", "Pages lost.", model, "tier kind", metrics.tier_faults)
    text = "What a page takes, to compute or to fetch."
    yield _gauges("hopwell_tier_page_seconds", text, model, "way", metrics.tier_page_seconds)


def _names(own: str, alias: str | None) -> list[str]:
    return [f"hopwell_{own}"] if alias is None else [f"hopwell_{own}", alias]


def _labelled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, text: str, model: list[str], labels: str,
    counts: Mapping[str, float],
) -> Metric:  # fmt: skip
    """One of each key, whose words are the values of `labels`."""
    family = kind(name, text, labels=["model_name", *labels.split()])
    for key, count in list(counts.items()):
        family.add_metric([*model, *(key.split() if " " in labels else [str(key)])], count)
    return family


def _single(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, text: str, model: list[str], value: float
) -> Metric:
    family = kind(name, text, labels=["model_name"])
    family.add_metric(model, value)
    return family


_counter, _gauge = partial(_single, CounterMetricFamily), partial(_single, GaugeMetricFamily)
_counters, _gauges = partial(_labelled, CounterMetricFamily), partial(_labelled, GaugeMetricFamily)


def _histogram(name: str, text: str, model: list[str], values: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["model_name"])
    buckets: list[tuple[str, float]] = []
    total = 0
    counts = list(values.counts)
    for bound, count in zip([*map(float, values.bounds), float("inf")], counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
    family.add_metric(model, buckets, values.total)
    return family
