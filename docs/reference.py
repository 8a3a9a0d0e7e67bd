"""Makes `docs/reference.md` of the docstrings of `producer` and `contract`: `make reference`.

griffe reads the sources and takes the docstrings apart; what stands on the page in which order is said here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import griffe

import contract
from docs.sources import (
    Expression,
    Method,
    Sources,
    docstring,
    field_type,
    fields,
    is_class_attribute,
    methods,
    parameters,
    returned,
)

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference.md"
_WIDTH: Final = 120
_BEGINNING: Final = """\
# Reference

What an application calls, and what it gets. `make reference` makes this page of the docstrings, which an editor shows
too: both packages are typed. [In your application](integrations.md) has whole programs.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        beginning: what is said first.
        names: what it describes, in this order: dotted, from where an application imports it.
    """

    title: str
    beginning: str
    names: tuple[str, ...]


def _of(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


SECTIONS: Final = (
    Section("The client", "`from producer import Client`", _of("producer", "Client ClientSettings traced")),
    Section(
        "Events and queries",
        "What is given to a client; mappings of the same fields do as well. `from contract import UploadEvent`",
        (*_of("contract", "UploadEvent ObjectEvent Item Query"), *_of("producer.arguments", "SearchArguments Scope")),
    ),
    Section(
        "What is returned",
        "Results of tasks are plain mappings, typed for the checker: `match['meta_id']`.",
        (
            *_of("producer", "EnqueueResult"),
            *_of("contract", "SearchResult SearchManyResult Match Member Kind Orientation"),
            *_of("producer", "Status"),
            *_of("producer.fuses", "BlownFuse"),
        ),
    ),
    Section(
        "Errors",
        "What Lookalike raises on purpose is a `LookalikeError`. `from producer import ServiceUnavailable`",
        (
            *_of("contract", "LookalikeError InvalidMessage QueryNotFound QueryRejected Overloaded"),
            *_of("contract", "ServiceUnavailable ServiceMisconfigured"),
            *_of("producer", "PartlyEnqueued InvalidEvent Interrupted TaskFailed SettingsError"),
        ),
    ),
    Section(
        "Dead letters",
        "What could not be indexed, and why: `client.dead_letters()`, and under their ids `client.dead`.",
        (
            *_of("contract", "DeadLetter Reason"),
            *_of("producer.dead_letters", "DeadLetters"),
            *_of("producer.selection", "Selection StoredLetter"),
            *_of("producer.dead_letters", "ReplayResult ReplayInterrupted"),
        ),
    ),
    Section(
        "Long jobs",
        "What the methods that take minutes are given, and what they return.",
        (
            *_of("contract", "ReindexResult BackfillResult"),
            *_of("producer.auditing", "AuditCounts Difference DifferenceKind"),
            *_of("contract.duplicates", "Group GroupMember DuplicatesResult"),
            *_of("producer.evaluation", "EvaluateArguments"),
            *_of("contract", "Evaluating EvaluationReport ProfileEvaluation Recommendation EvaluationResult"),
        ),
    ),
)
# Whatever else `contract` has.
_REST: Final = Section(
    "With Celery alone",
    "`contract` needs neither Celery nor the client. With Celery beside it, it is all that an application needs to "
    "send the tasks itself, by the names and queues below, and to check arguments before it does.",
    (),
)


class Reference:
    """The page."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._sections = (*SECTIONS, self._rest())
        # By where a thing is defined, which is the same wherever it is imported from.
        self.described: Final = {sources.find(name).path: name for part in self._sections for name in part.names}
        self._titles = {_title(name): name for name in self.described.values()}

    def page(self) -> str:
        """The Markdown of the whole page."""
        contents = (
            f"- {_to(part.title)}: {', '.join(_to(_title(name)) for name in part.names)}" for part in self._sections
        )
        blocks = [_BEGINNING, "\n".join(contents)]
        for part in self._sections:
            blocks += [f"## {part.title}", part.beginning]
            if part.title == _REST.title:
                blocks.append(_constants({name: getattr(contract, name) for name in _public(constants=True)}))
            for name in part.names:
                blocks += self._describe(name)
        return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"

    def _rest(self) -> Section:
        named = {self._sources.find(name).path for part in SECTIONS for name in part.names}
        names = [f"contract.{name}" for name in _public(constants=False)]
        return replace(_REST, names=tuple(name for name in names if self._sources.find(name).path not in named))

    def _describe(self, name: str) -> Iterator[str]:
        thing = self._sources.find(name)
        module, _, title = name.rpartition(".")
        yield f"### {title}"
        if isinstance(thing, griffe.Function):
            yield self._signature(thing, title)
            yield from self._told(thing, title)
            return
        yield f"`from {module} import {title}`{self._bases(thing)}"
        yield from self._told(thing, title)
        yield self._table(thing)
        for method_name, method in methods(thing):
            yield f"#### {title}.{method_name}"
            yield self._signature(method, method_name)
            yield from self._told(method, title)

    def _told(self, thing: griffe.Object, owner: str) -> Iterator[str]:
        """What a docstring says, but for attributes, which are in a table beside their types."""
        for section in docstring(thing):
            match section.kind:
                case griffe.DocstringSectionKind.text:
                    yield self._linked(section.value, owner)
                case griffe.DocstringSectionKind.parameters:
                    yield "\n".join(f"- **`{one.name}`**: {self._said(one, owner)}" for one in section.value)
                case griffe.DocstringSectionKind.returns | griffe.DocstringSectionKind.yields:
                    verb = section.kind.value.capitalize()
                    yield f"**{verb}** {self._type(returned(thing))}: {self._said(section.value[0], owner)}"
                case griffe.DocstringSectionKind.raises:
                    lines = (f"- {self._type(one.annotation)}: {self._said(one, owner)}" for one in section.value)
                    yield "**Raises**\n\n" + "\n".join(lines)
                case _:
                    pass

    def _table(self, thing: griffe.Object) -> str:
        listed = list(fields(thing))
        if not listed:
            return ""
        if "StrEnum" in map(str, getattr(thing, "bases", ())):
            return "Values: " + ", ".join(f"`{str(field.value)[1:-1]}`" for field in listed)
        told = {
            one.name: self._said(one, thing.name)
            for section in docstring(thing)
            if section.kind is griffe.DocstringSectionKind.attributes
            for one in section.value
        }
        rows = [(f"`{one.name}`", self._type(field_type(one)), told.get(one.name, "")) for one in listed]
        defaults = list(map(self._default, listed))
        if not any(defaults):
            return _tabulate(("field", "type", ""), rows)
        return _tabulate(
            ("field", "type", "default", ""),
            ((name, kind, default, what) for (name, kind, what), default in zip(rows, defaults, strict=True)),
        )

    def _bases(self, thing: griffe.Object) -> str:
        bases = [base for base in getattr(thing, "bases", ()) if isinstance(base, griffe.ExprName)]
        ours = [self._type(base) for base in bases if self._home(base) is not None]
        return f", a kind of {' and '.join(ours)}" if ours else ""

    def _signature(self, method: Method, name: str) -> str:
        result = self._sources.write(returned(method), _name)
        if isinstance(method, griffe.Attribute):
            return f"```python\n{name}: {result}\n```"
        beginning = f"{'async ' if 'async' in method.labels else ''}def {name}"
        given = list(self._written(parameters(method)))
        line = f"{beginning}({', '.join(given)}) -> {result}"
        if len(line) > _WIDTH:
            line = f"{beginning}(\n    " + ",\n    ".join(given) + f",\n) -> {result}"
        decorator = "@classmethod\n" if "classmethod" in method.labels else ""
        return f"```python\n{decorator}{line}\n```"

    def _written(self, given: Iterable[griffe.Parameter]) -> Iterator[str]:
        named_only = False
        for parameter in given:
            if parameter.kind is griffe.ParameterKind.keyword_only and not named_only:
                yield "*"
                named_only = True
            written = f"{parameter.name}: {self._sources.write(parameter.annotation, _name)}"
            if parameter.kind is griffe.ParameterKind.var_keyword:
                yield f"**{written}"
            else:
                default = parameter.default
                yield written if default is None else f"{written} = {self._sources.write(default, _name)}"

    def _default(self, field: griffe.Attribute) -> str:
        if field.value is None or not is_class_attribute(field):
            return ""
        value = self._sources.write(field.value, _name)
        # What is made anew for each object has no short value.
        return "" if value.startswith("field(") else f"`{value}`"

    def _type(self, expression: Expression) -> str:
        """A type as code, with links to what the page describes."""

        def link(name: griffe.ExprName) -> str:
            home = self._home(name)
            return name.name if home is None else f'<a href="#{anchor(_title(home))}">{name.name}</a>'

        plain = self._sources.write(expression, _name)
        linked = self._sources.write(expression, link)
        if plain == linked:
            return _cell(f"`{plain}`")
        # Only what mixes code and links needs HTML.
        alone = isinstance(expression, griffe.ExprName)
        return f"[`{plain}`](#{anchor(plain)})" if alone else _cell(f"<code>{linked}</code>")

    def _home(self, name: griffe.ExprName) -> str | None:
        """The name under which the page describes what a name in a type stands for."""
        target = self._sources.target(name)
        return None if target is None else self.described.get(target.path)

    def _said(self, one: griffe.DocstringElement, owner: str) -> str:
        return self._linked(_cell(" ".join(one.description.split())), owner)

    def _linked(self, text: str, owner: str) -> str:
        """Link names in backticks to where the page describes them; of methods, those of the owner first."""

        def link(found: re.Match[str]) -> str:
            holder, _, last = re.sub("^(contract|producer)[.]", "", found[1]).rpartition(".")
            home = self._titles.get(holder or owner)
            if home is not None and last in dict(methods(self._sources.find(home))):
                return f"[{found[0]}](#{anchor(f'{holder or owner}.{last}')})"
            return (
                f"[{found[0]}](#{anchor(last)})" if not holder and last in self._titles and last != owner else found[0]
            )

        return re.sub(r"`([A-Za-z_.]+)`", link, text)


def anchor(title: str) -> str:
    """How a heading is linked to, by the rules of the sites that show Markdown."""
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-")


def _public(*, constants: bool) -> list[str]:
    return [name for name in sorted(contract.__all__) if name.isupper() == constants]


def _title(name: str) -> str:
    return name.rpartition(".")[2]


def _name(name: griffe.ExprName) -> str:
    return name.name


def _to(title: str) -> str:
    return f"[{title}](#{anchor(title)})"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _tabulate(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (f"| {' | '.join(row)} |".replace("  ", " ") for row in (head, *rows))
    return next(lines) + "\n" + "|---" * len(head) + "|\n" + "\n".join(lines)


def _constants(values: Mapping[str, object]) -> str:
    return _tabulate(("constant", "value"), ((f"`{name}`", _value(value)) for name, value in values.items()))


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        # Of what has no short value the names say enough.
        return ", ".join(f"`{name}`: `{one}`" if isinstance(one, str) else f"`{name}`" for name, one in value.items())
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(Reference(Sources(ROOT)).page(), encoding="utf-8")
