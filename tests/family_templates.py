"""Chat templates of the shapes that the family has published: what they show, what they drop, how they begin."""

from __future__ import annotations

BEFORE = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{%- set ns = namespace(system='', tool=false) %}
{%- for message in messages if message['role'] == 'system' %}
{%- set ns.system = ns.system + ('\\n\\n' if ns.system else '') + message['content'] %}{% endfor %}
{{- bos_token + ns.system }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{- '<｜User｜>' + message['content'] }}{% set ns.tool = false %}{% endif %}
"""
RESULTS = """{%- if message['role'] == 'tool' %}
{{- ('' if ns.tool else '<｜tool▁outputs▁begin｜>') + '<｜tool▁output▁begin｜>' + message['content'] }}
{{- '<｜tool▁output▁end｜>' }}{% set ns.tool = true %}{% endif %}
{%- endfor %}
{%- if ns.tool %}{{- '<｜tool▁outputs▁end｜>' }}{% endif %}
"""
CALLS = """{%- for call in message['tool_calls'] %}
{{- ('<｜tool▁calls▁begin｜>' if loop.first else '\\n') + '<｜tool▁call▁begin｜>' + call['type'] + '<｜tool▁sep｜>' }}
{{- call['function']['name'] + '\\n```json\\n' + call['function']['arguments'] + '\\n```<｜tool▁call▁end｜>' }}
{%- endfor %}{{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}
"""
ANSWER = """{%- set text = message['content'].split('</think>')[-1] %}
{{- ('<｜tool▁outputs▁end｜>' if ns.tool else '<｜Assistant｜>') + text + '<｜end▁of▁sentence｜>' }}
{%- set ns.tool = false %}"""

R1_FIRST = (
    BEFORE
    + "{%- if message['role'] == 'assistant' and message['content'] is none %}{{- '<｜Assistant｜>' }}"
    + CALLS
    + "{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}"
    + ANSWER
    + "{%- endif %}"
    + RESULTS
    + "{%- if add_generation_prompt and not ns.tool %}{{- '<｜Assistant｜><think>\\n' }}{% endif %}"
)
"""R1 as first released: a turn is either text or calls."""
R1 = (
    BEFORE
    + "{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{{- '<｜Assistant｜>' }}"
    + "{%- if message['content'] is not none %}{{- message['content'] }}{% endif %}"
    + CALLS
    + "{%- elif message['role'] == 'assistant' %}"
    + ANSWER
    + "{%- endif %}"
    + RESULTS
    + "{%- if add_generation_prompt and not ns.tool %}{{- '<｜Assistant｜><think>\\n' }}{% endif %}"
)
R1_0528 = R1.replace("<｜Assistant｜><think>\\n", "<｜Assistant｜>")
"""The model opens its thinking itself."""
V31 = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    + BEFORE
    + "{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{{- '<｜Assistant｜></think>' }}"
    + "{%- if message['content'] is not none %}{{- message['content'] }}{% endif %}{{- '<｜tool▁calls▁begin｜>' }}"
    + "{%- for call in message['tool_calls'] %}{{- '<｜tool▁call▁begin｜>' + call['function']['name'] }}"
    + "{{- '<｜tool▁sep｜>' + call['function']['arguments'] + '<｜tool▁call▁end｜>' }}{% endfor %}"
    + "{{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}"
    + "{%- elif message['role'] == 'assistant' %}{% set text = message['content'] %}"
    + "{%- if '</think>' in text %}{% set text = text.split('</think>', 1)[1] %}{% endif %}"
    + "{{- '<｜Assistant｜></think>' + text + '<｜end▁of▁sentence｜>' }}{% endif %}"
    + RESULTS
    + "{%- if add_generation_prompt and not ns.tool %}"
    + "{{- '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}"
)
NO_CALLS = BEFORE + "{%- if message['role'] == 'assistant' %}" + ANSWER + "{%- endif %}{%- endfor %}"
"""V2-Chat's: text is all there is."""
