"""Makes `docs/reference.md` of the docstrings of `producer` and `contract`: `make reference`.

griffe reads the sources and takes the docstrings apart; what stands on the page in which order is said here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import griffe

import contract

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference.md"
PACKAGES: Final = ("contract", "producer")
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

    @property
    def titles(self) -> list[str]:
        """The names alone."""
        return [name.rpartition(".")[2] for name in self.names]


def _of(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


SECTIONS: Final = (
    Section("The client", "`from producer import Client`", _of("producer", "Client ClientSettings")),
    Section(
        "Events and queries",
        "What is given to a client; mappings of the same fields do as well. `from contract import UploadEvent`",
        _of("contract", "UploadEvent ObjectEvent Item Query"),
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
            *_of("contract.duplicates", "Group GroupMember DuplicatesResult"),
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
    """The page, from the sources under a folder."""

    def __init__(self, root: Path = ROOT) -> None:
        loader = griffe.GriffeLoader(search_paths=[root], docstring_parser=griffe.Parser.google)
        for package in PACKAGES:
            loader.load(package, try_relative_path=False)
        loader.resolve_aliases(external=False)
        self._sources = loader.modules_collection
        self._sections = (*SECTIONS, self._rest())
        # By where a thing is defined, which is the same wherever it is imported from.
        self._described = {self._final(name).path: name for section in self._sections for name in section.names}

    def page(self) -> str:
        """The Markdown of the whole page."""
        contents = (f"- {_to(section.title)}: {', '.join(map(_to, section.titles))}" for section in self._sections)
        parts = [_BEGINNING, "\n".join(contents)]
        for section in self._sections:
            parts += [f"## {section.title}", section.beginning]
            if section.title == _REST.title:
                parts.append(_constants(self._constants()))
            for name in section.names:
                parts += self._describe(name)
        return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"

    def undocumented(self) -> Iterator[str]:
        """What an editor would leave a caller to guess: arguments and results of the client that no docstring tells."""
        for name, method in self._methods(self._final("producer.Client")):
            told = {section.kind: section.value for section in _docstring(method)}
            arguments = {argument.name for argument in told.get(griffe.DocstringSectionKind.parameters, [])}
            yield from (f"{name}: {p.name}" for p in _parameters(method) if p.name.strip("*") not in arguments)
            results = {griffe.DocstringSectionKind.returns, griffe.DocstringSectionKind.yields}
            silent = isinstance(method, griffe.Attribute) or str(method.returns) == "None"
            if not silent and not results & told.keys():
                yield f"{name}: what it returns"

    def unlinked(self) -> set[str]:
        """Classes of ours that the signatures on the page name, and that the page does not describe."""
        found: set[str] = set()

        def see(name: griffe.ExprName) -> str:
            target = self._target(name)
            if isinstance(target, griffe.Class) and target.path not in self._described:
                found.add(target.path)
            return name.name

        for name in self._described.values():
            thing = self._final(name)
            for _, method in self._methods(thing):
                self._type(_returned(method), see)
                for parameter in _parameters(method):
                    self._type(parameter.annotation, see)
            for field in _fields(thing):
                self._type(field.annotation, see)
        return found

    def _rest(self) -> Section:
        named = {self._final(name).path for section in SECTIONS for name in section.names}
        rest = [name for name in sorted(contract.__all__) if not name.isupper()]
        names = (f"contract.{name}" for name in rest if self._final(f"contract.{name}").path not in named)
        return Section(_REST.title, _REST.beginning, tuple(names))

    @staticmethod
    def _constants() -> Mapping[str, Any]:
        return {name: getattr(contract, name) for name in sorted(contract.__all__) if name.isupper()}

    def _describe(self, name: str) -> Iterator[str]:
        thing = self._final(name)
        title = name.rpartition(".")[2]
        yield f"### {title}"
        if isinstance(thing, griffe.Function):
            yield self._signature(thing, title)
            yield from self._told(thing, title)
            return
        yield f"`{name.rpartition('.')[0]}.{title}`{self._bases(thing)}"
        yield from self._told(thing, title)
        yield self._table(thing)
        for method_name, method in self._methods(thing):
            yield f"#### {title}.{method_name}"
            yield self._signature(method, method_name)
            yield from self._told(method, title)

    def _told(self, thing: griffe.Object, owner: str) -> Iterator[str]:
        """What a docstring says, but for attributes, which are in a table beside their types."""
        for section in _docstring(thing):
            linked = partial(self._linked, owner=owner)
            match section.kind:
                case griffe.DocstringSectionKind.text:
                    yield linked(section.value)
                case griffe.DocstringSectionKind.parameters:
                    yield "\n".join(f"- **`{one.name}`**: {linked(_line(one.description))}" for one in section.value)
                case griffe.DocstringSectionKind.returns | griffe.DocstringSectionKind.yields:
                    (one,) = section.value
                    verb = "Yields" if section.kind is griffe.DocstringSectionKind.yields else "Returns"
                    kind = "" if thing.is_class else f" {self._html(_returned(thing))}"
                    yield f"**{verb}**{kind}: {linked(_line(one.description))}"
                case griffe.DocstringSectionKind.raises:
                    lines = (
                        f"- {self._html(one.annotation)}: {linked(_line(one.description))}" for one in section.value
                    )
                    yield "**Raises**\n\n" + "\n".join(lines)
                case _:
                    pass

    def _table(self, thing: griffe.Object) -> str:
        fields = _fields(thing)
        if not fields:
            return ""
        told = {
            one.name: _line(one.description)
            for section in _docstring(thing)
            if section.kind is griffe.DocstringSectionKind.attributes
            for one in section.value
        }
        if any(base.endswith("StrEnum") for base in _base_names(thing)):
            return "Values: " + ", ".join(f"`{str(field.value).strip(chr(39) + chr(34))}`" for field in fields)
        rows = (
            f"| `{field.name}` | {self._html(field.annotation)} | {self._default(field)} | "
            f"{self._linked(told.get(field.name, ''), owner=thing.name)} |"
            for field in fields
        )
        return "| field | type | default | |\n|---|---|---|---|\n" + "\n".join(row.replace("  |", " |") for row in rows)

    def _bases(self, thing: griffe.Object) -> str:
        bases = [base for base in getattr(thing, "bases", ()) if isinstance(base, griffe.Expr)]
        ours = [self._html(base) for base in bases if self._path_of(base) in self._described]
        return f", a kind of {' and '.join(ours)}" if ours else ""

    def _methods(self, thing: griffe.Object) -> Iterator[tuple[str, griffe.Function | griffe.Attribute]]:
        """The public methods and properties, those of its own class first."""
        if not isinstance(thing, griffe.Class):
            return
        members = sorted(thing.all_members.items(), key=lambda item: item[0] not in thing.members)
        for name, member in members:
            final = member.final_target if isinstance(member, griffe.Alias) else member
            is_method = isinstance(final, griffe.Function) or "property" in final.labels
            if is_method and not name.startswith("_") and isinstance(final, griffe.Function | griffe.Attribute):
                yield name, final

    def _signature(self, method: griffe.Function | griffe.Attribute, name: str) -> str:
        returned = self._type(_returned(method), self._named)
        if isinstance(method, griffe.Attribute):
            return f"```python\n{name}: {returned}\n```"
        beginning = f"{'async ' if 'async' in method.labels else ''}def {name}"
        parameters = list(self._written(_parameters(method)))
        line = f"{beginning}({', '.join(parameters)}) -> {returned}"
        if len(line) > _WIDTH:
            line = f"{beginning}(\n    " + ",\n    ".join(parameters) + f",\n) -> {returned}"
        decorator = "@classmethod\n" if "classmethod" in method.labels else ""
        return f"```python\n{decorator}{line}\n```"

    def _written(self, parameters: Iterable[griffe.Parameter]) -> Iterator[str]:
        named_only = False
        for parameter in parameters:
            if parameter.kind is griffe.ParameterKind.keyword_only and not named_only:
                yield "*"
                named_only = True
            written = f"{parameter.name}: {self._type(parameter.annotation, self._named)}"
            if parameter.kind is griffe.ParameterKind.var_keyword:
                yield f"**{written}"
            elif parameter.default is None:
                yield written
            else:
                yield f"{written} = {self._type(parameter.default, self._named)}"

    def _default(self, field: griffe.Attribute) -> str:
        return "" if field.value is None else f"`{self._type(field.value, self._named)}`"

    def _type(self, expression: str | griffe.Expr | None, write: Callable[[griffe.ExprName], str]) -> str:
        """Write a type or a value: without what only validation needs, and what has a name of ours spelled out."""
        match expression:
            case griffe.ExprName():
                target = self._target(expression)
                is_alias = isinstance(target, griffe.Attribute) and not expression.name.startswith("_")
                if is_alias and isinstance(target, griffe.Attribute) and target.value is not None:
                    return self._type(target.value, write)
                return write(expression)
            case griffe.ExprSubscript() if str(expression.left) == "Annotated":
                kinds = expression.slice
                return self._type(kinds.elements[0] if isinstance(kinds, griffe.ExprTuple) else kinds, write)
            case griffe.Expr():
                return "".join(self._type(part, write) for part in expression.iterate(flat=False))
            case _:
                return str(expression)

    def _html(self, expression: str | griffe.Expr | None) -> str:
        """A type as code, with links to what the page describes."""

        def link(name: griffe.ExprName) -> str:
            described = self._described.get(self._path_of(name))
            return f'<a href="#{anchor(described.rpartition(".")[2])}">{name.name}</a>' if described else name.name

        plain = self._type(expression, self._named)
        written = self._type(expression, link)
        # Only what mixes code and links needs HTML.
        if plain != written and isinstance(expression, griffe.ExprName):
            return f"[`{plain}`](#{anchor(plain)})"
        return (f"`{plain}`" if plain == written else f"<code>{written}</code>").replace("|", r"\|")

    def _linked(self, text: str, owner: str) -> str:
        """Link names in backticks to where the page describes them."""
        titles = {name.rpartition(".")[2]: name for name in self._described.values()}

        def link(found: re.Match[str]) -> str:
            name = found[1].removeprefix("contract.").removeprefix("producer.")
            holder, _, last = name.rpartition(".")
            methods = self._method_names(titles.get(holder or owner))
            if last in methods:
                return f"[`{found[1]}`](#{anchor(f'{holder or owner}.{last}')})"
            return f"[`{found[1]}`](#{anchor(name)})" if name in titles and name != owner else found[0]

        return re.sub(r"(?<!\[)`([A-Za-z_.]+)`", link, text)

    def _method_names(self, name: str | None) -> set[str]:
        return set() if name is None else {method for method, _ in self._methods(self._final(name))}

    def _final(self, name: str) -> griffe.Object:
        found = self._sources[name]
        return found.final_target if isinstance(found, griffe.Alias) else found

    def _target(self, name: griffe.ExprName) -> griffe.Object | None:
        """What a name stands for, if it is ours."""
        path = name.canonical_path
        if not path.startswith(tuple(f"{package}." for package in PACKAGES)):
            return None
        try:
            return self._final(path)
        except KeyError:
            return None

    def _path_of(self, expression: str | griffe.Expr) -> str:
        target = self._target(expression) if isinstance(expression, griffe.ExprName) else None
        return "" if target is None else target.path

    @staticmethod
    def _named(name: griffe.ExprName) -> str:
        return name.name


def anchor(title: str) -> str:
    """How a heading is linked to, by the rules of the sites that show Markdown."""
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-")


def _to(title: str) -> str:
    return f"[{title}](#{anchor(title)})"


def _docstring(thing: griffe.Object) -> list[griffe.DocstringSection]:
    """What a docstring says, part by part. What is returned is one thing, and its first words are no type."""
    if thing.docstring is None:
        return []
    return thing.docstring.parse(
        griffe.Parser.google, warnings=False, returns_multiple_items=False, returns_named_value=False
    )


def _parameters(method: griffe.Object) -> list[griffe.Parameter]:
    parameters = list(method.parameters) if isinstance(method, griffe.Function) else []
    return [parameter for parameter in parameters if parameter.name not in {"self", "cls"}]


def _returned(method: griffe.Object) -> str | griffe.Expr | None:
    return method.annotation if isinstance(method, griffe.Attribute) else getattr(method, "returns", None)


def _fields(thing: griffe.Object) -> list[griffe.Attribute]:
    """The public attributes that a class declares, its own first."""
    if not isinstance(thing, griffe.Class):
        return []
    members = sorted(thing.all_members.items(), key=lambda item: item[0] not in thing.members)
    finals = [member.final_target if isinstance(member, griffe.Alias) else member for _, member in members]
    return [
        final
        for final in finals
        if isinstance(final, griffe.Attribute)
        and not final.name.startswith("_")
        and final.name != "model_config"
        and "property" not in final.labels
    ]


def _base_names(thing: griffe.Object) -> list[str]:
    return [str(base) for base in getattr(thing, "bases", ())]


def _constants(values: Mapping[str, Any]) -> str:
    return "| constant | value |\n|---|---|\n" + "\n".join(
        f"| `{name}` | {_value(value)} |" for name, value in values.items()
    )


def _value(value: Any) -> str:
    match value:
        case Mapping() if all(isinstance(one, str) for one in value.values()):
            return ", ".join(f"`{name}`: `{one}`" for name, one in value.items())
        case tuple() | list() | Mapping():
            return ", ".join(f"`{one}`" for one in value)
        case _:
            return f"`{escape(repr(value), quote=False)}`"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(Reference().page(), encoding="utf-8")
