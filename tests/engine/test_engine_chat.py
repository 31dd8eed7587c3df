"""Chat templates: real ones render, hostile ones are refused quickly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeperso.engine import ChatMessage, ModelInfo, render_chat
from edgeperso.errors import ModelUnsupported

INFO = ModelInfo("m", Path("m.gguf"), "llama", 1, 1, 1, 1, "F32", None, 1, 2, "<s>", "</s>")
CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)
INSTRUCT = (
    "{{ bos_token }}{% set ns = namespace(turns=0) %}{% for m in messages if m['role'] != 'system' %}"
    "{% set ns.turns = ns.turns + 1 %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '[INST] ' ~ m['content'] | trim ~ ' [/INST]' "
    "if m['role'] == 'user' else m['content'] + eos_token }}{% endfor %}"
    "{% macro turns(n) %}({{ n }}){% endmacro %}{{ turns(ns.turns) }}"
)


def rendered(template: str, *messages: tuple[str, str]) -> str:
    spans = render_chat(
        replace(INFO, chat_template=template),
        [ChatMessage(role, text) for role, text in messages],  # type: ignore[arg-type]
    )
    assert spans is not None
    return "".join(span.text for span in spans)


def test_chatml() -> None:
    assert rendered(CHATML, ("system", "Be kind."), ("user", "Hi")) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_instruct_template_with_all_its_habits() -> None:
    assert rendered(INSTRUCT, ("user", "A"), ("assistant", "B"), ("user", "C")) == (
        "<s>[INST] A [/INST]B</s>[INST] C [/INST](3)"
    )


def test_texts_are_spans_of_their_own_and_not_the_templates() -> None:
    text = "<|im_end|>{{ messages }}{% for %}"
    spans = render_chat(replace(INFO, chat_template=CHATML), [ChatMessage("user", text)])
    assert spans is not None
    assert [span.text for span in spans if not span.from_template] == [text]
    assert all(text not in span.text for span in spans if span.from_template)


def test_the_same_text_twice_and_an_empty_one() -> None:
    assert rendered(CHATML, ("user", ""), ("assistant", "x"), ("user", "x")).count("x<|im_end|>") == 2


def test_a_model_without_a_template_renders_nothing() -> None:
    assert render_chat(INFO, [ChatMessage("user", "x")]) is None


def test_the_date_can_be_asked_for() -> None:
    assert rendered("{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}", ("user", "x"))[-2:] == " x"


def test_a_template_has_as_many_steps_the_hundredth_time_and_its_filters_stay_refused() -> None:
    steps = "{% for a in range(900) %}{% endfor %}" + CHATML  # of 20,000 allowed in one run
    first = rendered(steps, ("user", "Hi"))
    assert all(rendered(steps, ("user", "Hi")) == first for _ in range(99))
    for _ in range(2):
        with pytest.raises(ModelUnsupported):
            rendered(CHATML + "{{ messages | tojson }}", ("user", "Hi"))


def test_a_filter_in_a_branch_that_does_not_run_is_no_reason_to_refuse() -> None:
    template = "{% for t in tools %}{{ t | tojson }}{% endfor %}{{ messages[0].content }}"
    assert rendered(template, ("user", "x")) == "x"


HOSTILE = {
    "syntax": "{% for",
    "refusal": "{{ raise_exception('no') }}",
    "nothing said": "constant",
    "endless": "{% for a in range(10**9) %}{% endfor %}",
    "long range": "{{ range(1000000000) | list }}",
    "nested loops": "{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}",
    "repeat": "{{ 'x' * 1000000000 }}",
    "list repeat": "{% set a = [1] * 1000000000 %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "doubling": "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "joining": "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "squaring": "{% set n = namespace(s=99) %}{% for i in range(60) %}{% set n.s = n.s * n.s %}{% endfor %}",
    "nest": "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}",
    "long output": "{% for i in range(999) %}{{ '" + "x" * 999 + "' }}{% endfor %}",
    "long template": "x" * 200_000,
    "padding": "{{ 'x' | center(1000000000) }}",
    "padding method": "{{ 'x'.ljust(1000000000) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format attribute": "{{ '{0.__class__}'.format(messages) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "date": "{{ strftime_now('%1000000000d') }}",
    "recursive macro": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "call block": "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{% endcall %}",
    "our counter": "{% set __counted = 1 %}",
    "our counter as a macro": "{% macro __step() %}{% endmacro %}",
    "class": "{{ messages.__class__.__mro__ }}",
    "globals": "{{ namespace.__init__.__globals__['os'] }}",
    "cycler": "{{ cycler('a').next.__globals__ }}",
    "attr filter": "{{ messages | attr('__class__') }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "mutate": "{{ messages.append(1) }}",
    "lorem": "{{ lipsum(n=100000000) }}",
    "unknown filter": "{{ messages | pprint }}",
    "division": "{{ 1 / 0 }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused(name: str) -> None:
    with pytest.raises(ModelUnsupported) as caught:
        rendered(HOSTILE[name], ("user", "private words"))
    assert "private" not in str(caught.value)
    assert caught.value.__cause__ is None
