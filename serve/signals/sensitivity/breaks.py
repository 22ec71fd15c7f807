r"""Line breaks that are written as escapes: `'one\ntwo'` of Python, `msg="one\ntwo"` of a log, JSON in prose.

Knows backslashes and quotes. Does not know JSON (that is `unquote`), and does not judge text.
"""

import re

# What ends a line of text within a literal, however often it was quoted: a break just before the closing quote is
# how programs write a line, and says nothing. A tab counts where a value may follow, as it does in a row of a table.
_WITHIN = re.compile(r"""(?<!\\)\\++n(?!\\*+["'])|(?<![\\"'])\\++t(?=[0-9A-Z])""")
# Runs of backslashes are taken whole, and what stands before a break ends at the next quote: linear.
_OPENING = re.compile(r"""(?:(?<![\w\\])|(?<=\b[bB]))\\*+["'](?=(?:[^"'\\]++|\\++[rt])*+\\++n(?!\\*+["']))""")
_BREAK = re.compile(r"""(?<!\\)(?:\\++r(?=\\))?+\\++n([^"'\\]*+)(\\*+["'](?!\w))?""")
_TAB = re.compile(r"(?<!\\)\\++t")


def broken(text: str) -> str:
    """The lines of `text` that hold such breaks, each apart from the others, with the breaks in them."""
    if "\\n" not in text and "\\t" not in text:
        return ""
    return "\n\n".join(_broken(line) for line in text.split("\n") if _WITHIN.search(line))


def _broken(line: str) -> str:
    r"""`line` with real breaks and tabs. A literal that has some begins and ends a line: a marking may stand there."""
    line = _OPENING.sub("\n", line)
    line = _BREAK.sub(lambda found: f"\n{found[1]}" + ("\n" if found[2] else ""), line)
    return _TAB.sub("\t", line)
