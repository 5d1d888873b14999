"""The engine as a Python object: prompts in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.reading import Reader
from hopwell.engine.request import (
    FinishReason,
    Request,
    RequestError,
    RequestOutput,
    RequestTiming,
    SamplingParams,
    SequenceOutput,
    TokenLogprobs,
)
from hopwell.engine.thinking import Thinking
from hopwell.engine.turns import check_conversation
from hopwell.engine.typed import shown
from hopwell.errors import HopwellError
from hopwell.limits.energy import Joules
from hopwell.limits.history import Report
from hopwell.model.snapshot import Progress

Prompt = str | Sequence[int]
Message = dict[str, Any]


@dataclass(slots=True)
class Answer:
    """One answer to a prompt."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] | None = None
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    error: str | None = None

    def add(self, output: SequenceOutput) -> None:
        """Appends what the engine tells."""
        self.text += output.text
        self.tokens += output.tokens
        if output.logprobs is not None:
            self.logprobs = (self.logprobs or []) + output.logprobs
        self.finish_reason, self.stop_reason, self.error = output.finish_reason, output.stop_reason, output.error


@dataclass(slots=True)
class Completion:
    """All answers to a prompt."""

    prompt_tokens: int
    cached_tokens: int
    answers: list[Answer]
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    timing: RequestTiming | None = None
    joules: Joules | None = None
    """Of all answers together, where there is an energy counter."""

    @property
    def text(self) -> str:
        """The first answer's text."""
        return self.answers[0].text

    def add(self, output: RequestOutput) -> None:
        """Appends what the engine tells."""
        self.cached_tokens = output.cached_tokens
        self.prompt_logprobs = output.prompt_logprobs or self.prompt_logprobs
        self.timing = output.timing or self.timing
        self.joules = output.joules or self.joules
        for part in output.outputs:
            self.answers[part.index].add(part)


class LLM:
    """A model and an engine of its own, stepped by whoever calls. Not for use from several threads at once.

    A request's tokens do not depend on what shares its batch where `loaded.batch_invariant` says so. Nothing is set for
    it in the process: on a CPU with AMX it needs ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 before torch is imported, which
    the `hopwell` command sets for itself.

    Example:
        llm = LLM()                                 # the embedded nano
        print(llm.chat([{"role": "user", "content": "What is 12 * 34?"}]).text)
    """

    def __init__(
        self,
        model: str | Path | LoadedModel | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        tp: int = 1,
        ep: int = 1,
        dp_attention: bool = False,
        chat_template: Path | None = None,
        config: EngineConfig | None = None,
        progress: Progress | None = None,
        on_compile: Progress | None = None,
        **settings: Any,
    ) -> None:
        """
        Args:
            model: a checkpoint's folder, a hub name, a model that is loaded, or None for the embedded nano.
            device, dtype, tp, ep, dp_attention, chat_template, progress, on_compile: as `load_model` has them.
            config: the engine's settings, or give them by name: `LLM(drafts="auto", max_seqs=8)`. Those not given are
                chosen for the model and the device (`LoadedModel.config`).

        Raises:
            HopwellError: the model cannot be loaded, or a setting not honoured; one line that names the culprit.
        """
        if config is not None and settings:
            raise HopwellError(f"both config and {min(settings)} were given; put {min(settings)} into the config")
        if not isinstance(config, EngineConfig | None):
            raise EngineConfigError(f"config is {shown(config)}; give an EngineConfig")
        self._owns = not isinstance(model, LoadedModel)
        if not isinstance(model, LoadedModel):
            given = settings if config is None else asdict(config)
            model = load_model(
                model, device, dtype, progress, on_compile, chat_template, settings=given,
                tp=tp, ep=ep, dp_attention=dp_attention,
            )  # fmt: skip
        self.loaded = model
        self.engine = model.engine(config or model.config(**settings))
        self.tokenizer = self.loaded.tokenizer
        self.default_params = self.loaded.default_params
        self._serial, self._closed = count(), False
        self._readers: dict[str, Reader] = {}
        """By id, of requests that run."""

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        progress: Callable[[int], None] = lambda tokens: None,
    ) -> list[Completion]:
        """Answers prompts, all at once.

        Args:
            prompts: text or token ids, one or several.
            params: for all, or one a prompt; None: as the model's authors recommend.
            progress: called with the tokens of all answers, step by step.

        Returns:
            A completion for each prompt, in their order; of no prompts none.

        Raises:
            RequestError: a prompt cannot be served, or something is of another type; none was begun.
        """
        batch = _as_list(prompts)
        each = list(params) if isinstance(params, Sequence) else [self._params(params)] * len(batch)
        if len(each) != len(batch):
            raise HopwellError(f"{len(batch)} prompts and {len(each)} params; give one, or one a prompt")
        requests = [self._request(prompt, p) for prompt, p in zip(batch, each, strict=True)]
        done, tokens = {r.request_id: _completion(r) for r in requests}, 0
        for outputs in self._run(requests):
            for output in outputs:
                done[output.request_id].add(output)
                tokens += sum(len(each.tokens) for each in output.outputs)
            progress(tokens)
        return list(done.values())

    def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
    ) -> Completion:
        """Answers a conversation: messages as OpenAI's API has them, through the model's own template. What shapes the
        answer leaves its thinking alone (`SamplingParams.thinking`).

        Raises:
            TemplateError: as `render`.
            RequestError: as `generate`.
        """
        prompt = self.render(messages, tools)
        return self.generate(prompt, replace(self._params(params), thinking=self.thinking(prompt)))[0]

    def each(self, prompts: Iterable[Prompt], params: SamplingParams | None = None) -> Iterator[tuple[int, Completion]]:
        """Answers any number of prompts, a few hundred at once; leaving the loop early cancels the rest.

        Yields:
            A prompt's place and its completion, in the order in which they end. What cannot be served yields an
            answer with `FinishReason.ERROR` and hinders no other.

        Raises:
            RequestError: `prompts` or `params` is of another type.
        """
        params = self._params(params)
        if isinstance(prompts, str | bytes) or not isinstance(prompts, Iterable):
            raise RequestError(f"prompts is {shown(prompts)}; give several prompts", "prompt")
        coming, together = enumerate(prompts), 2 * self.engine.config.max_seqs
        running: dict[str, tuple[int, Completion]] = {}
        try:
            while True:
                while len(running) < together and (item := next(coming, None)) is not None:
                    place, prompt = item
                    try:
                        request = self._request(prompt, params)
                        self._submit(request)
                    except RequestError as error:
                        yield place, Completion(0, 0, [Answer(finish_reason=FinishReason.ERROR, error=str(error))])
                        continue
                    running[request.request_id] = place, _completion(request)
                if not running:
                    return
                for output in self._step():
                    running[output.request_id][1].add(output)
                    if output.finished:
                        yield running.pop(output.request_id)
        finally:
            self._cancel(running)

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Iterator[RequestOutput]:
        """Answers one prompt piece by piece; leaving the loop early cancels the rest. For a conversation, give it
        `render(messages)`.

        Raises:
            RequestError: as `generate`.
        """
        request = self._request(prompt, self._params(params), stream=True)
        for outputs in self._run([request]):
            yield from outputs

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Tokens of a conversation, up to where the assistant begins to speak.

        Args:
            variables: more that the template looks at, such as V3.1's `thinking`.

        Raises:
            TemplateError: the checkpoint has no chat template, it refuses the conversation, or that is none.
        """
        check_conversation(messages, tools, variables)
        return self.loaded.prompts.render(messages, tools, variables)

    def thinking(self, prompt: Sequence[int]) -> Thinking | None:
        """How thinking will show in the answer to a rendered prompt; None where there will be none."""
        return self.loaded.prompts.thinking(prompt)

    def limits(self) -> Report:
        """What the last seconds' steps took, op by op, beside what the device can do (docs/limits.md); `on` is False
        without `meter`."""
        return self.engine.limits()

    def close(self) -> None:
        """Ends the engine, and other ranks that this object started."""
        self._closed = True
        self.engine.close()
        if self._owns:
            self.loaded.close()

    def _request(self, prompt: Prompt, params: SamplingParams, stream: bool = False) -> Request:
        tokens = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        request_id = f"llm-{next(self._serial)}"
        return Request(request_id=request_id, prompt=tokens, params=params, latency_class="batch", stream=stream)

    def _params(self, params: SamplingParams | None) -> SamplingParams:
        """Those given, or those that the model's authors recommend.

        Raises:
            RequestError: they are something else.
        """
        if not isinstance(params, SamplingParams | None):
            raise RequestError(f"params is {shown(params)}; give SamplingParams", "params")
        return params or self.default_params

    def _run(self, requests: list[Request]) -> Iterator[list[RequestOutput]]:
        """Submits requests and steps until all have ended; cancels what is left if the caller leaves."""
        open_ids: set[str] = set()
        try:
            for request in requests:
                self._submit(request)
                open_ids.add(request.request_id)
            while open_ids:
                outputs = self._step()
                open_ids -= {output.request_id for output in outputs if output.finished}
                yield outputs
        finally:
            self._cancel(open_ids)

    def _submit(self, request: Request) -> None:
        if self._closed:
            raise HopwellError("this LLM has been closed; make another")
        self.engine.submit(request)
        self._readers[request.request_id] = Reader(request, self.tokenizer)

    def _step(self) -> list[RequestOutput]:
        """A step of the engine, its news with their text."""
        outputs = []
        for output in self.engine.step():
            for index in self._readers[output.request_id].read(output):
                self.engine.end(output.request_id, index)
            if output.finished:
                del self._readers[output.request_id]
            if output.outputs:
                outputs.append(output)
        return outputs

    def _cancel(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self.engine.abort(request_id)
        while self.engine.has_work():
            self._step()


def _completion(request: Request) -> Completion:
    return Completion(len(request.prompt), 0, [Answer() for _ in range(request.params.n)])


def _as_list(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """Several prompts, or the one that was given: a text, or a sequence of numbers.

    Raises:
        RequestError: it is neither.
    """
    if not isinstance(prompts, Sequence) or isinstance(prompts, bytes):
        raise RequestError(f"prompts is {shown(prompts)}; give text or token ids, one prompt or several", "prompt")
    one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int))
    return cast(list[Prompt], [prompts] if one else list(prompts))
