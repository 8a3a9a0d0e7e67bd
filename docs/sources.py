"""What the sources of `producer` and `contract` say of what they define, by griffe."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import griffe

PACKAGES: Final = ("contract", "producer")
Method = griffe.Function | griffe.Attribute
Expression = str | griffe.Expr | None
# Only validation and the checker need what these add to a type.
_WRAPPERS: Final = {"Annotated", "Final"}


class Sources:
    """The packages under a folder. A thing is named from where an application imports it: `producer.Client`."""

    def __init__(self, root: Path) -> None:
        loader = griffe.GriffeLoader(search_paths=[root], docstring_parser=griffe.Parser.google)
        for package in PACKAGES:
            loader.load(package, try_relative_path=False)
        loader.resolve_aliases(external=False)
        self._modules = loader.modules_collection

    def find(self, name: str) -> griffe.Object:
        """What a dotted name stands for, where it is defined. It raises `KeyError` where there is nothing."""
        return _definition(self._modules[name])

    def target(self, name: griffe.ExprName) -> griffe.Object | None:
        """What a name within a type stands for; None where that is not ours."""
        path = name.canonical_path
        if path.partition(".")[0] not in PACKAGES:
            return None
        try:
            return self.find(path)
        except KeyError:
            return None

    def write(self, expression: Expression, write_name: Callable[[griffe.ExprName], str]) -> str:
        """Write a type or a value, without what only validation needs, and with aliases of ours spelled out.

        Args:
            expression: a type or a value, as the source has it.
            write_name: writes the name of anything but an alias.
        """
        match expression:
            case griffe.ExprName():
                target = self.target(expression)
                if isinstance(target, griffe.Attribute) and target.value is not None:
                    return self.write(target.value, write_name)
                return write_name(expression)
            case griffe.ExprSubscript() if str(expression.left) in _WRAPPERS:
                kinds = expression.slice
                return self.write(kinds.elements[0] if isinstance(kinds, griffe.ExprTuple) else kinds, write_name)
            case griffe.Expr():
                return "".join(self.write(part, write_name) for part in expression.iterate(flat=False))
            case _:
                return str(expression)


def methods(thing: griffe.Object) -> Iterator[tuple[str, Method]]:
    """The public methods and properties of a class, under their names, its own first."""
    for member in _members(thing):
        is_method = isinstance(member, griffe.Function) or "property" in member.labels
        if is_method and isinstance(member, griffe.Function | griffe.Attribute):
            yield member.name, member


def fields(thing: griffe.Object) -> Iterator[griffe.Attribute]:
    """The public attributes of a class, its own first; not pydantic's configuration."""
    for member in _members(thing):
        is_field = isinstance(member, griffe.Attribute) and "property" not in member.labels
        if is_field and isinstance(member, griffe.Attribute) and member.name != "model_config":
            yield member


def field_type(field: griffe.Attribute) -> Expression:
    """The type of a field; of one that `__init__` is given, that of the parameter."""
    if is_class_attribute(field) or field.parent is None:
        return field.annotation
    given = {parameter.name: parameter.annotation for parameter in parameters(field.parent.members.get("__init__"))}
    return given.get(str(field.value), field.annotation)


def is_class_attribute(field: griffe.Attribute) -> bool:
    """Whether a field is declared in the class rather than set by `__init__`."""
    return "class-attribute" in field.labels or "instance-attribute" not in field.labels or field.value is None


def parameters(function: griffe.Object | griffe.Alias | None) -> list[griffe.Parameter]:
    """What a function is given by its caller."""
    given = list(function.parameters) if isinstance(function, griffe.Function) else []
    return [parameter for parameter in given if parameter.name not in {"self", "cls"}]


def returned(method: griffe.Object) -> Expression:
    """The type of what a function returns, or of a property."""
    return method.annotation if isinstance(method, griffe.Attribute | griffe.Function) else None


def docstring(thing: griffe.Object) -> list[griffe.DocstringSection]:
    """The sections of a docstring. What is returned is one thing, however many lines say what."""
    if thing.docstring is None:
        return []
    return thing.docstring.parse(griffe.Parser.google, warnings=False, returns_multiple_items=False)


def _members(thing: griffe.Object) -> list[griffe.Object]:
    if not isinstance(thing, griffe.Class):
        return []
    own_first = sorted(thing.all_members.items(), key=lambda item: item[0] not in thing.members)
    return [_definition(member) for name, member in own_first if not name.startswith("_")]


def _definition(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if isinstance(found, griffe.Alias) else found
