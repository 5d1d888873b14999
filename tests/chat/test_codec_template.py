"""Templates: nano's own, those of the family's shape, and programs that try to leave the sandbox."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest

from hopwell.bounded import Limits
from hopwell.chat.template import ChatTemplate, NoTemplateError, TemplateError
from hopwell.model import NANO
from training.nano.tasks import TASKS, held_out_problems
from training.nano.tasks.render import prompt_text, tool_messages

pytestmark = pytest.mark.usefixtures("own_children")

QUESTION = [{"role": "user", "content": "hi"}]

R1 = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set state = namespace(tool=false, system='') %}
{%- for message in messages if message['role'] == 'system' %}{% set state.system = message['content'] %}{% endfor %}
{{ bos_token }}{{ state.system }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}
{%- if message['role'] == 'assistant' and message['content'] %}
{%- set content = message['content'] %}
{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
{{- '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"""
V31 = """{% if not thinking is defined %}{% set thinking = false %}{% endif %}
{{- bos_token }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}
{%- if message['role'] == 'assistant' %}
{{- '<｜Assistant｜></think>' + message['content'].split('</think>', 1)[-1] + eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}"""

ESCAPES = (
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''['__class__'] }}",
    "{{ '{0.__class__}'.format(messages) }}",
    "{{ '%s'.format_map }}{{ '{x.__init__}'.format_map({'x': messages}) }}",
    "{{ lipsum.__globals__['os'].system('true') }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__code__ }}",
    "{{ namespace.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'system'}) }}",
    "{{ messages.clear() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends '/etc/passwd' %}",
    "{{ ().__iter__().__next__ }}",
    "{{ (messages|map(attribute='__class__')|list) }}",
    "{{ 'a' * 999999999999 }}",
    "{{ [1] * 999999999999 }}",
    "{{ 9 ** 999999999 }}",
    "{% for i in range(999999999) %}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ messages[9].role.x }}",
)


@pytest.mark.parametrize("source", ESCAPES)
def test_escapes_are_refused_with_one_line(source: str) -> None:
    messages: list[dict[str, Any]] = [dict(QUESTION[0])]
    with pytest.raises(TemplateError) as caught:
        ChatTemplate(source).render(messages)
    text = str(caught.value)
    assert "chat template" in text and "\n" not in text and len(text) < 300
    assert messages == QUESTION


@pytest.mark.parametrize("source", ["{% if %}", "{{ unclosed", "{% nonsense %}", "{{ 1|no_such_filter }}"])
def test_what_is_no_template_is_refused(source: str) -> None:
    for use in (lambda template: template.variables, lambda template: template.render(QUESTION)):
        with pytest.raises(TemplateError, match=r"^chat_template: [^\n]+$"):
            use(ChatTemplate(source))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "tokenizer_config.json"),
        ({"tokenizer_config.json": "{"}, "tokenizer_config.json"),
        ({"tokenizer_config.json": "{}"}, "no chat_template"),
        ({"tokenizer_config.json": "[]"}, "tokenizer_config.json"),
    ],
)
def test_missing_and_broken_files_are_named(tmp_path: Path, files: dict[str, str], says: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=f"^[^\n]*{says}[^\n]*$"):
        ChatTemplate.open(tmp_path)


def test_having_none_is_told_from_being_broken(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(NoTemplateError):
        ChatTemplate.open(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{% if %}", encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        _ = ChatTemplate.open(tmp_path).variables
    assert not isinstance(caught.value, NoTemplateError)


def test_a_file_of_its_own_goes_before_the_config(tmp_path: Path) -> None:
    config = {"chat_template": "config", "bos_token": {"content": "<s>"}, "eos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert ChatTemplate.open(tmp_path).render(QUESTION) == "config"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}file{{ eos_token }}", encoding="utf-8")
    assert ChatTemplate.open(tmp_path).render(QUESTION) == "<s>file"


def test_nanos_template_writes_what_nano_was_trained_on() -> None:
    template = ChatTemplate.open(NANO)
    for task in TASKS:
        for problem in held_out_problems(task, 4, seed=3):
            assert template.render(problem.messages, tools=problem.tools) == prompt_text(
                problem.messages, problem.tools
            )
            if problem.call is not None:
                after = [*problem.messages, *tool_messages(problem.call, problem.answer)]
                assert template.render(after, tools=problem.tools) == prompt_text(after, problem.tools)


def test_nanos_template_drops_earlier_thinking() -> None:
    template = ChatTemplate.open(NANO)
    history = [*QUESTION, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}, *QUESTION]
    visible = [*QUESTION, {"role": "assistant", "content": "yes"}, *QUESTION]
    assert template.render(history) == template.render(visible)
    assert "hm" not in template.render(history)


def test_r1s_shape() -> None:
    template = ChatTemplate(R1, "<BOS>", "<EOS>")
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "thought</think>\n\nyes"}
    assert template.render([system, *QUESTION]) == "<BOS>Be brief.<｜User｜>hi<｜Assistant｜><think>\n"
    assert template.render([*QUESTION, answer, *QUESTION], add_generation_prompt=False) == (
        "<BOS><｜User｜>hi<｜Assistant｜>\n\nyes<｜end▁of▁sentence｜><｜User｜>hi"
    )
    assert "thinking" not in template.variables


def test_v31s_switch_is_seen_and_used() -> None:
    template = ChatTemplate(V31, "<BOS>", "<EOS>")
    assert "thinking" in template.variables
    assert template.render(QUESTION) == "<BOS><｜User｜>hi<｜Assistant｜></think>"
    assert template.render(QUESTION, variables={"thinking": True}).endswith("<｜Assistant｜><think>")
    with pytest.raises(TemplateError, match="messages is no variable"):
        template.render(QUESTION, variables={"messages": []})


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{% if a %}{% set x = m %}{{ x }}{% elif b %}{% set x = 1 %}{{ x }}{% endif %}", "a b m"),
        ("{% if a %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}", "a"),
        ("{% if a %}{% set x = 1 %}{% endif %}{{ x }}", "a x"),
        ("{% if x is not defined %}{% set x = false %}{% endif %}{{ x }}", "x"),
        ("{% for m in t if m != w %}{% if m %}{% set x = loop %}{{ x }}{% endif %}{% endfor %}{{ m }}", "t w m"),
        ("{% for m in t %}{{ x }}{% set x = m %}{% endfor %}", "t x"),
        ("{% macro f(a, b=c) %}{% if a %}{% set x = b %}{{ x ~ y }}{% endif %}{% endmacro %}{{ f(z) }}", "c y z"),
        ("{% call(a) f() %}{{ a ~ b }}{% endcall %}", "f b"),
        ("{% with x = a, y = x %}{{ x ~ y }}{% endwith %}", "a x"),
        ("{% set ns = namespace(a=b) %}{% set ns.a = c %}{{ ns.a }}", "b c"),
        ("{% set x %}{{ a }}{% set y = 1 %}{% endset %}{{ x ~ y }}{% filter upper %}{{ b }}{% endfilter %}", "a b y"),
        ("{% block one %}{% set x = 1 %}{{ x }}{% endblock %}{{ x }}", "x"),
    ],
)  # fmt: skip
def test_what_a_template_sets_itself_is_no_variable(source: str, names: str) -> None:
    """What it reads before it sets it, on some way, is one."""
    assert ChatTemplate(source).variables == set(names.split())


def test_json_in_templates_is_plain() -> None:
    value = {"b": "<é&😀>", "a": [1]}
    source = "{{ messages[0]|tojson }} {{ messages[0]|tojson(sort_keys=true, separators=(',', ':')) }}"
    assert ChatTemplate(source).render([value]) == '{"b": "<é&😀>", "a": [1]} {"a":[1],"b":"<é&😀>"}'
    with pytest.raises(TemplateError, match="nonsense"):
        ChatTemplate("{{ messages|tojson(nonsense=1) }}").render([value])


def test_a_template_may_refuse() -> None:
    source = "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}{{ strftime_now('%Y') }}"
    assert ChatTemplate(source).render(QUESTION).isdigit()
    with pytest.raises(TemplateError, match=r"refuses this conversation: one turn only$"):
        ChatTemplate(source).render([*QUESTION, *QUESTION])


def test_contents_are_text_not_templates() -> None:
    for text in ("{{ ''.__class__ }}", "{% raw %}", "{#", "<b>&amp;</b>", "😀", "\u2028"):
        assert text in ChatTemplate(R1).render([{"role": "user", "content": text}])


EXPLOSIONS = (
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% set x = namespace(s='ab') %}{% for i in range(40) %}{% set x.s = x.s ~ x.s %}{% endfor %}{{ x.s }}",
    "{% set x = namespace(s='ab') %}{% for i in range(40) %}{% set x.s = x.s + x.s %}{% endfor %}{{ x.s }}",
    "{% set x = namespace(s='ab') %}{% for i in range(40) %}{% set x.s = [x.s, x.s]|join %}{% endfor %}{{ x.s }}",
    "{{ '%5000000000d' % 1 }}",
    "{{ '{:5000000000d}'.format(1) }}",
    "{{ 'a'|center(5000000000) }}",
    "{{ 'a'.ljust(5000000000) }}",
    "{{ 'a'.zfill(5000000000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ messages|tojson(indent=2000000000) }}",
    "{{ 'a\\nb'|indent(5000000000) }}",
)


@pytest.mark.parametrize("source", EXPLOSIONS)
@pytest.mark.slow
def test_no_template_takes_time_or_memory(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the child that is bounded: here, the peak of this process does not move."""
    monkeypatch.setattr("hopwell.chat.template.LIMITS", Limits(seconds=3.0, memory=256 << 20))
    template, before = ChatTemplate(source), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TemplateError, match=r"^[^\n]{,200}$"):
        template.render(QUESTION)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TemplateError, match="what JSON can hold"):
        ChatTemplate("x").render([{"role": "user", "content": object()}])


def several(**templates: Any) -> str:
    return json.dumps({"chat_template": [{"name": name, "template": text} for name, text in templates.items()]})


def test_of_several_templates_the_default_and_that_for_tools_are_used(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_text(several(default="plain", tool_use="tools {{ tools[0].name }}", rag="no"), encoding="utf-8")
    template = ChatTemplate.open(tmp_path)
    assert template.render(QUESTION) == "plain" and template.render(QUESTION, tools=[{"name": "f"}]) == "tools f"
    assert template.variables == {"tools"}
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("from a file", encoding="utf-8")
    assert ChatTemplate.open(tmp_path).render(QUESTION, tools=[{"name": "f"}]) == "from a file"
    path.write_text(several(rag="no", tool_use="tools"), encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text("own", encoding="utf-8")
    assert ChatTemplate.open(tmp_path).render(QUESTION) == "own"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (several(rag="x"), "has no 'default' among rag"),
        (several(default=3), "neither text nor a list"),
        ('{"chat_template": [1]}', "neither text nor a list"),
        ('{"chat_template": {"default": "x"}}', "neither text nor a list"),
        ('{"chat_template": 7}', "neither text nor a list"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
    ids=["no default", "a number in it", "a list", "an object", "a number", "nested"],
)
def test_what_is_no_list_of_templates_is_named(tmp_path: Path, config: str, says: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(config, encoding="utf-8")
    with pytest.raises(TemplateError, match=f"tokenizer_config.json: [^\n]*{says}"):
        ChatTemplate.open(tmp_path)


def test_a_users_own_template_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}\n{% nonsense %}\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=rf"^{re.escape(str(file))}: line 2: [^\n]*nonsense[^\n]*; mend it"):
        _ = ChatTemplate.open(tmp_path, file).variables
    file.write_bytes(b"{{ \xff }}")
    with pytest.raises(TemplateError, match=r"mine.jinja: is not UTF-8 at byte 3; convert it"):
        ChatTemplate.open(tmp_path, file)


def test_a_template_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_bytes(b"{{ \xff }}")
    with pytest.raises(TemplateError, match=r"chat_template.jinja: is not UTF-8 at byte 3; fetch it again"):
        ChatTemplate.open(tmp_path)
