"""Parameters of papermill for notebooks in Rust: `papermill in.ipynb out.ipynb -p epochs 20` writes `let epochs: i64 = 20;`.

    a whole number     i64
    another number     f64
    true, false        bool
    a text             String
    a list of these    Vec of their type; whole numbers beside others become f64

Whatever else a parameter is (nothing, a mapping, an empty list, a list of several types) has no one type in Rust, and is an
error that says so. The types are these whatever type the notebook's own `parameters` cell has.
"""

import math
import re

from papermill.engines import NBClientEngine
from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

KEYWORDS = frozenset(
    "abstract as async await become box break const continue do dyn else enum extern false final fn for gen if impl in let "
    "loop macro match mod move mut override priv pub ref return static struct trait true try type typeof unsafe unsized use "
    "virtual where while yield".split()
)
# A line of the notebook's `parameters` cell: name, type, value, and what a comment behind it says.
DECLARED = re.compile(r"^\s*let\s+(?:mut\s+)?(?:r#)?(\w+)\s*(?::\s*(.+?))?\s*=\s*(.+?);\s*(?://\s*(.*?))?\s*$")
# Keywords that cannot be names even as `r#NAME`.
NEVER = frozenset(["crate", "self", "super", "Self", "_"])
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


class NoType(PapermillException, TypeError):
    """A value without a type in Rust."""


def literal(text):
    return '"' + "".join(ESCAPES.get(c, c) for c in text) + '"'


def typed(value):
    """The type of a value in Rust, and the value."""
    # Before the whole numbers, which they are to Python.
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise NoType(f"{value} does not fit i64")
        return "i64", str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "f64", "f64::NAN"
        if math.isinf(value):
            return "f64", "f64::INFINITY" if value > 0 else "f64::NEG_INFINITY"
        return "f64", repr(value)
    if isinstance(value, str):
        return "String", f"String::from({literal(value)})"
    if isinstance(value, (list, tuple)):
        return of_list(list(value))
    if value is None:
        raise NoType("nothing (null) has no type in Rust; leave the parameter out")
    raise NoType(f"{value!r}: a {type(value).__name__} is no parameter of a notebook in Rust")


def of_list(values):
    if not values:
        raise NoType("an empty list has no type in Rust")
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if numbers and any(isinstance(v, float) for v in values):
        values = [float(v) for v in values]
    kinds, texts = zip(*map(typed, values))
    if len(set(kinds)) > 1:
        raise NoType(f"a list of {' and '.join(sorted(set(kinds)))} has no type in Rust")
    return f"Vec<{kinds[0]}>", f"vec![{', '.join(texts)}]"


class RustTranslator(Translator):
    @classmethod
    def translate(cls, val):
        return typed(val)[1]

    @classmethod
    def comment(cls, cmt_str):
        return "\n".join(f"// {line}".rstrip() for line in cmt_str.splitlines())

    @classmethod
    def inspect(cls, parameters_cell):
        lines = map(DECLARED.match, parameters_cell["source"].splitlines())
        return [
            Parameter(name=line[1], inferred_type_name=line[2] or "None", default=line[3], help=line[4] or "")
            for line in lines
            if line
        ]

    @classmethod
    def codify(cls, parameters, comment="Parameters"):
        lines = [cls.comment(comment)]
        for name, value in parameters.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in NEVER:
                raise PapermillException(f"parameter {name!r}: not the name of a variable in Rust")
            try:
                kind, text = typed(value)
            except NoType as problem:
                raise NoType(f"parameter {name}: {problem}") from None
            lines.append(f"let {'r#' if name in KEYWORDS else ''}{name}: {kind} = {text};")
        return "\n".join(lines) + "\n"


class Engine(NBClientEngine):
    """papermill's own, under another name."""


papermill_translators.register("rust", RustTranslator)
