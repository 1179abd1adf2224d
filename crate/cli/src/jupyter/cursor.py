"""What evcxr is asked for at a cursor: it cannot be asked everywhere for what is there.

Positions count characters of a cell's text, as Jupyter's messages do.
"""

import re

TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r'|(?P<text>b?r(?P<hashes>#*)".*?"(?P=hashes)|[bc]?"(?:[^"\\]|\\.)*"|b?\'(?:[^\'\\\n]|\\[^\n]+?)\')'
    r"|(?P<name>(?:r#)?[^\W\d]\w*)"
    r"|(?P<number>\d\w*)"
    r"|(?P<sign>::|->|=>|\.\.=|\.\.|==|!=|<=|>=|&&|\|\||<<=|>>=|[-+*/%^&|]=|.)",
    re.DOTALL,
)
# After these, an expression of a known type is expected: an argument, an operand, a value.
BEFORE_VALUES = {"=", "=>", "==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "^", "!", "..", "..="} | {
    sign + "=" for sign in "+-*/%^&|"
}
WORDS_BEFORE_VALUES = {"return", "if", "while", "match", "in", "break"}
CLOSING = {")": "(", "]": "[", "}": "{"}
BEFORE, BEHIND = "{();", ";todo!()}"


def in_name(text, at):
    return text[at : at + 1].isalnum() or text[at : at + 1] == "_"


def tokens_of(code):
    """(kind, text, position) of each token; None where the text ends within one, as within a string."""
    found, at = [], 0
    while at < len(code):
        match = TOKEN.match(code, at)
        kind, text = match.lastgroup, match[0]
        if kind == "hashes":
            kind = "text"
        if (kind == "sign" and text == '"') or (code.startswith("/*", at) and kind != "space"):
            return None
        if kind == "space" and text.startswith("//") and match.end() == len(code):
            return None
        if kind != "space":
            found.append((kind, text, at))
        at = match.end()
    return found


def unclosed(tokens):
    """Where among `tokens` the innermost bracket is that is open at their end."""
    closed = []
    for at in range(len(tokens) - 1, -1, -1):
        kind, text, _ = tokens[at]
        if kind != "sign":
            continue
        if text in CLOSING:
            closed.append(CLOSING[text])
        elif text in CLOSING.values():
            if not closed:
                return at
            closed.pop()
    return None


def text_at(tokens, at):
    return tokens[at][1] if 0 <= at < len(tokens) else ""


def kind_at(tokens, at):
    return tokens[at][0] if 0 <= at < len(tokens) else ""


def is_struct_literal(tokens, bracket):
    """Whether the brace at `bracket` opens the fields of a value, as in `RunConfig { ...`."""
    at = bracket - 1
    if text_at(tokens, bracket) != "{" or kind_at(tokens, at) != "name" or not text_at(tokens, at)[0].isupper():
        return False
    while text_at(tokens, at - 1) == "::" and kind_at(tokens, at - 2) == "name":
        at -= 2
    return text_at(tokens, at - 1) not in {"struct", "enum", "union", "impl", "for", "trait", "->", "mod", "fn"}


def expects_value(tokens):
    """Whether behind `tokens` stands an expression whose type the code around it says."""
    last = len(tokens) - 1
    # What is borrowed, or followed, is expected as the thing itself is.
    while text_at(tokens, last) in {"&", "mut", "*"}:
        last -= 1
    before = text_at(tokens, last)
    if last < 0:
        return False
    if kind_at(tokens, last) == "name":
        return before in WORDS_BEFORE_VALUES
    bracket = unclosed(tokens[: last + 1])
    if before == ":":
        field = kind_at(tokens, last - 1) == "name" and text_at(tokens, last - 2) in {"{", ","}
        return field and bracket is not None and is_struct_literal(tokens, bracket)
    if before in {"(", "[", ","}:
        opened, named = text_at(tokens, bracket if bracket is not None else -1), bracket is not None and bracket - 1
        if opened not in {"(", "["}:
            return False
        if opened == "[" and text_at(tokens, named) in {"#", ":", "->", "<"}:
            return False
        declared = kind_at(tokens, named) == "name" and text_at(tokens, named - 1) == "fn"
        pattern = False
        for at in range(named, -1, -1):
            if text_at(tokens, at) in {";", "{", "}", "=", "(", "|"}:
                break
            pattern = pattern or text_at(tokens, at) == "let"
        return not declared and not pattern
    if before == "|":
        # Behind the parameters of a closure, not at their beginning.
        return kind_at(tokens, last - 1) == "name" or text_at(tokens, last - 1) in {")", "]", ">", ","}
    return before in BEFORE_VALUES


def as_statement(code, cursor):
    """The cell and the cursor to ask evcxr for the names that fit at `cursor`, and where `BEFORE` stands in it; None where it can be asked as
    it is.

    Where the type of an expression is known from what is around it, as that of an argument, evcxr's rust-analyzer searches for
    terms of that type, panics over some, and evcxr answers nothing more. A statement has no type that is expected, and sees the same
    variables: `f(na` is asked as `f({();na;todo!()}`.
    """
    cursor = max(0, min(cursor, len(code)))
    tokens = tokens_of(code[:cursor])
    if tokens is None:
        return None
    start = cursor
    if tokens and tokens[-1][0] == "name" and tokens[-1][2] + len(tokens[-1][1]) == cursor:
        start = tokens.pop()[2]
    while len(tokens) > 1 and tokens[-1][1] == "::" and tokens[-2][0] == "name":
        tokens.pop()
        start = tokens.pop()[2]
    if not expects_value(tokens):
        return None
    end = cursor
    while in_name(code, end):
        end += 1
    return code[:start] + BEFORE + code[start:end] + BEHIND + code[end:], cursor + len(BEFORE), start


def behind_name(code, cursor):
    """Where evcxr has to be asked for what is at `cursor`: it looks at the name that ends there, and knows a method by the bracket
    of its call. So this is behind the name that the cursor is in, or behind the bracket of the call whose arguments it is in."""
    cursor = max(0, min(cursor, len(code)))
    quotes = [quote.start() for quote in re.finditer(r'(?<!\\)"', code[:cursor])]
    if len(quotes) % 2:
        cursor = quotes[-1]
    end = cursor
    while in_name(code, end):
        end += 1
    if end > cursor or (cursor > 0 and in_name(code, cursor - 1)):
        return end + 1 if code[end : end + 1] == "(" else end
    closed = 0
    for at in range(cursor - 1, 0, -1):
        if code[at] == ")":
            closed += 1
        elif code[at] == "(" and closed:
            closed -= 1
        elif code[at] == "(" and in_name(code, at - 1):
            return at + 1
    return cursor
