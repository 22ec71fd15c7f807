"""Structured identifiers: payment cards, bank accounts and national numbers.

Knows only which tables belong together. Does not know any shape itself.
"""

from serve.signals.sensitivity import finance, national
from serve.signals.sensitivity.rule import RuleSet

RULES = RuleSet((*finance.RULES, *national.RULES))
