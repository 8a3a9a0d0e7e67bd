"""The reference page says what the docstrings say, and they say what a caller has to know."""

import re
from collections import Counter
from collections.abc import Iterator

import griffe
import pytest

import contract
import producer
from docs.reference import PAGE, ROOT, Reference, anchor
from docs.sources import Method, Sources, docstring, field_type, fields, methods, parameters, returned

SOURCES = Sources(ROOT)
REFERENCE = Reference(SOURCES)
TEXT = PAGE.read_text(encoding="utf-8")
HEADINGS = re.findall("^#+ (.+)$", TEXT, re.MULTILINE)
CLIENT = dict(methods(SOURCES.find("producer.Client")))


def test_the_page_is_up_to_date() -> None:
    """Whoever changes a docstring runs `make reference`."""
    assert REFERENCE.page() == TEXT, "run `make reference`"


@pytest.mark.parametrize("name", sorted({*producer.__all__, *contract.__all__}))
def test_every_public_name_is_on_the_page(name: str) -> None:
    """Under a heading of its own; a constant in the table."""
    assert f"| `{name}` |" in TEXT if name.isupper() else name in HEADINGS


def words(text: str) -> set[str]:
    """The words of a text, without those by which docstrings are parted."""
    return set(re.findall(r"[\w.]*\w", text)) - {"Args", "Attributes", "Returns", "Yields", "Raises"}


def described() -> Iterator[tuple[str, griffe.Object]]:
    """What has a heading, by that."""
    for path, name in REFERENCE.described.items():
        thing = SOURCES.find(path)
        title = name.rpartition(".")[2]
        yield title, thing
        yield from ((f"{title}.{method_name}", method) for method_name, method in methods(thing))


@pytest.mark.parametrize(("heading", "thing"), list(described()))
def test_no_word_of_a_docstring_is_lost(heading: str, thing: griffe.Object) -> None:
    """All that it says stands under its heading, whatever the parser takes for names and types."""
    assert thing.docstring is not None
    _, text = re.split(f"^#+ {re.escape(heading)}$", TEXT, maxsplit=1, flags=re.MULTILINE)
    assert words(thing.docstring.value) <= words(re.split("^#", text, maxsplit=1, flags=re.MULTILINE)[0])


def test_links_lead_to_one_heading() -> None:
    """No two headings have one anchor, and no link leads nowhere."""
    anchors = Counter(map(anchor, HEADINGS))
    links = set(re.findall(r'(?:\]\(|href=")#([^)"]+)[)"]', TEXT))
    assert len(links) > 50
    assert links <= anchors.keys()
    assert set(anchors.values()) == {1}


@pytest.mark.parametrize("name", CLIENT)
def test_every_method_of_the_client_says_what_it_takes_and_returns(name: str) -> None:
    """So that an editor shows it: each argument, as it is named, and what comes back."""
    method = CLIENT[name]
    told = {section.kind: section.value for section in docstring(method)}
    assert griffe.DocstringSectionKind.text in told
    described = [argument.name for argument in told.get(griffe.DocstringSectionKind.parameters, [])]
    assert described == [parameter.name.strip("*") for parameter in parameters(method)]
    if isinstance(method, griffe.Function) and str(method.returns) != "None":
        assert {griffe.DocstringSectionKind.returns, griffe.DocstringSectionKind.yields} & told.keys()


@pytest.mark.parametrize("name", [name for name in CLIENT if f"a{name}" in CLIENT])
def test_what_a_twin_takes_and_returns_is_the_same(name: str) -> None:
    """Of async code; where it takes its arguments together, their names are those of the method."""
    method, twin = CLIENT[name], CLIENT[f"a{name}"]
    assert "async" in twin.labels
    assert str(returned(twin)) == str(returned(method))
    given: list[str] = []
    for parameter in parameters(twin):
        if parameter.kind is griffe.ParameterKind.var_keyword:
            assert isinstance(parameter.annotation, griffe.ExprSubscript)
            assert isinstance(parameter.annotation.slice, griffe.ExprName)
            together = SOURCES.target(parameter.annotation.slice)
            assert together is not None
            given += [field.name for field in fields(together)]
        else:
            given.append(parameter.name)
    assert set(given) == {parameter.name for parameter in parameters(method)}


@pytest.mark.parametrize("name", REFERENCE.described.values())
def test_every_type_of_ours_that_is_named_is_on_the_page(name: str) -> None:
    """What a signature or a field on the page names, a reader finds there."""
    missing: set[str] = set()

    def see(used: griffe.ExprName) -> str:
        target = SOURCES.target(used)
        if isinstance(target, griffe.Class) and target.path not in REFERENCE.described:
            missing.add(target.path)
        return used.name

    def look(method: Method | griffe.Object) -> None:
        SOURCES.write(returned(method), see)
        for parameter in parameters(method):
            SOURCES.write(parameter.annotation, see)

    thing = SOURCES.find(name)
    look(thing)
    for _, method in methods(thing):
        look(method)
    for field in fields(thing):
        SOURCES.write(field_type(field), see)
    assert not missing
