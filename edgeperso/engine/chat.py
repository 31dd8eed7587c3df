"""A model's own chat template, run in a sandbox.

A template is a program out of a downloaded file. Promises:
    - it never sees what the messages say: it gets placeholders, and the texts are put in afterwards, as spans of
      their own, so that they are never tokenized as control tokens;
    - it runs in jinja2's immutable sandbox, with few filters and string methods, no recursion in loops, no other
      templates, bounded steps, and bounded strings, lists and output.
Not bounded: the time and memory of a single expression built to be costly out of allowed parts.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import CodeType
from typing import Any, Literal, NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from edgeperso.engine.results import ModelInfo
from edgeperso.errors import ModelUnsupported

__all__ = ["ChatMessage", "ChatSpan", "render_chat", "renderer"]

_MAX_TEMPLATE_CHARS = 100_000
_MAX_STEPS = 20_000
_MAX_LENGTH = 100_000
_MAX_BITS = 128
_FILTERS = {"capitalize", "d", "default", "first", "int", "items", "last", "length"}
_FILTERS |= {"list", "lower", "rejectattr", "selectattr", "title", "trim", "upper"}
_STR_METHODS = {"capitalize", "endswith", "find", "lower", "lstrip", "rsplit", "rstrip"}
_STR_METHODS |= {"split", "splitlines", "startswith", "strip", "title", "upper"}
_MAX_RANGE = 1000
_DATE_FORMAT = re.compile(r"(%[A-Za-z]|[A-Za-z0-9 ,./:-]){1,40}")


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatSpan:
    """A run of a rendered chat. Only the template's own runs may be tokenized with control tokens."""

    text: str
    from_template: bool


def render_chat(
    info: ModelInfo, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True
) -> list[ChatSpan] | None:
    """``messages`` as the model was trained to read them, ending where its answer begins.

    Returns:
        Spans in order; None for a model without a chat template.

    Raises:
        ModelUnsupported: the template is broken, does something it may not, or refuses these roles.
    """
    if info.chat_template is None:
        return None
    marks = [f"MARK{secrets.token_hex(8).upper()}END" for _ in messages]
    values = {
        "messages": [{"role": message.role, "content": mark} for message, mark in zip(messages, marks, strict=True)],
        "add_generation_prompt": add_generation_prompt,
        "bos_token": info.bos_text,
        "eos_token": info.eos_text,
    }
    rendered = _render(info.chat_template, values)
    if marks and marks[-1] not in rendered:
        raise _refused("leaves out the last message")
    contents = {mark: message.content for mark, message in zip(marks, messages, strict=True)}
    parts = re.split(f"({'|'.join(marks)})", rendered) if marks else [rendered]
    return [ChatSpan(contents.get(part, part), part not in contents) for part in parts if part]


def renderer(info: ModelInfo) -> Callable[[list[dict[str, str]]], str | None] | None:
    """The model's chat template as prompting takes it: messages (role, content) → the prompt up to the answer, None
    where the template refuses them. None for a model without one."""
    if info.chat_template is None:
        return None

    def render(messages: list[dict[str, str]]) -> str | None:
        try:
            spans = render_chat(info, [ChatMessage(m["role"], m["content"]) for m in messages])  # type: ignore[arg-type]
        except ModelUnsupported:
            return None
        return None if spans is None else "".join(span.text for span in spans)

    return render


def _render(source: str, values: dict[str, Any]) -> str:
    if len(source) > _MAX_TEMPLATE_CHARS:
        raise _refused("is too long")
    out: list[str] = []
    length = 0
    try:
        for piece in _Sandbox().compile_bounded(source).generate(**values):
            out.append(piece)
            length += len(piece)
            if length > _MAX_LENGTH:
                raise _refused("writes too much")
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
        raise _refused("is broken or does what it may not") from None
    except (RecursionError, MemoryError):
        raise _refused("takes too much") from None
    return "".join(out)


@lru_cache(maxsize=4)
def _compiled(source: str) -> tuple[CodeType, frozenset[str]]:
    """Compiling takes as long as finding memories, and each question asks for it. The code holds nothing of the sandbox
    that compiled it: steps are counted anew in each."""
    return _Sandbox().compile_source(source)


def _refused(what: str) -> ModelUnsupported:
    return ModelUnsupported(f"The model's chat template {what}.", hint="Use the plain form, or another model.")


class _Sandbox(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, with every way to loop or to grow a value counted."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], finalize=_printable
        )
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.globals = {
            "namespace": self.globals["namespace"],
            "range": _short_range,
            "raise_exception": _raise,
            "strftime_now": _today,
            _COUNTED: self._counted,
            _STEP: self._step,
            _JOINED: _joined,
        }
        self._steps = 0

    def compile_bounded(self, source: str) -> jinja2.Template:
        code, filters = _compiled(source)
        self._forbid(filters)
        return jinja2.Template.from_code(self, code, self.make_globals(None))

    def compile_source(self, source: str) -> tuple[CodeType, frozenset[str]]:
        """The bounded code of a template, and the filters that it names."""
        tree = self.parse(source)
        filters = frozenset(node.name for node in tree.find_all(nodes.Filter))
        self._forbid(filters)
        _Bound().visit(tree)
        tree.set_environment(self)
        return self.compile(tree), filters

    def _forbid(self, filters: Iterable[str]) -> None:
        """Templates name filters in branches that never run here (`tojson` for tools): one is refused when used."""
        for name in filters:
            self.filters.setdefault(name, _forbidden)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes):
            return attr in _STR_METHODS
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Any:
        """A format can ask for any width, so there is none; jinja2 hands every attribute through here."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("not in a chat template")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator in "*%" and not (_is_number(left) and _is_number(right))):
            raise SecurityError("not in a chat template")
        return _bounded(super().call_binop(context, operator, left, right))

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise SecurityError("too many steps")

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item


_COUNTED, _STEP, _JOINED = "__counted", "__step", "__joined"


class _Bound(NodeTransformer):
    """Rewrites a template so that its loops, macros and concatenations pass through the sandbox's counters."""

    def visit_Name(self, node: nodes.Name) -> nodes.Name:  # noqa: N802 - jinja2 looks visitors up by class name
        if node.name.startswith("__"):
            raise SecurityError("not in a chat template")
        return node

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        if node.recursive:
            raise SecurityError("not in a chat template")
        self.generic_visit(node)
        node.iter = _call(_COUNTED, [cast("nodes.Expr", node.iter)], node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        if node.name.startswith("__"):
            raise SecurityError("not in a chat template")
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call(_STEP, [], node.lineno), lineno=node.lineno))
        return node

    def visit_CallBlock(self, _node: nodes.CallBlock) -> NoReturn:  # noqa: N802
        raise SecurityError("not in a chat template")

    def visit_Concat(self, node: nodes.Concat) -> nodes.Call:  # noqa: N802
        self.generic_visit(node)
        return _call(_JOINED, node.nodes, node.lineno)


def _call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load", lineno=line), arguments, [], None, None, lineno=line)


def _joined(*values: Any) -> str:
    return str(_bounded("".join(str(_printable(value)) for value in values)))


def _printable(value: Any) -> Any:
    """Only plain values are written out: a nest of lists can be far longer than what it is made of."""
    if value is None or isinstance(value, str | int | float | bool | jinja2.Undefined):
        return value
    raise SecurityError("not in a chat template")


def _bounded(value: Any) -> Any:
    too_big = (
        value.bit_length() > _MAX_BITS
        if isinstance(value, int)
        else isinstance(value, str | list | tuple) and len(value) > _MAX_LENGTH
    )
    if too_big:
        raise SecurityError("too big")
    return value


def _forbidden(*_: object, **__: object) -> NoReturn:
    raise SecurityError("not in a chat template")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _short_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > _MAX_RANGE:
        raise SecurityError("too long a range")
    return numbers


def _raise(_message: object = None) -> NoReturn:
    raise _refused("refuses these messages")


def _today(form: str) -> str:
    if not _DATE_FORMAT.fullmatch(form):
        raise SecurityError("not a date format")
    return datetime.now(UTC).strftime(form)
