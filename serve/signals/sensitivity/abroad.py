"""National identity numbers beyond the first table: by shape and checksum, or by checksum beside a cue.

Knows one row per country. Does not know encodings.
"""

from collections.abc import Callable
from types import ModuleType

from stdnum.ar import cuit
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.ee import ik
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.il import idnr as teudat
from stdnum.in_ import aadhaar
from stdnum.is_ import kennitala
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nz import ird
from stdnum.ro import cnp
from stdnum.si import emso
from stdnum.th import pin
from stdnum.tr import tckimlik
from stdnum.za import idnr as south_african

from serve.signals.sensitivity.digits import compact
from serve.signals.sensitivity.pattern import Pattern
from serve.signals.sensitivity.rule import Rule, RuleSet

# Shapes that nothing else has: the checksum is enough.
_BY_SHAPE: tuple[tuple[str, ModuleType], ...] = (
    (r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", cpf),
    (r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", ahv),
    (r"[1-8][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9][0-9]{3}[0-9Xx]", ric),
    (r"(?i)[a-z]{4}[0-9]{6}[hm][a-z]{5}[0-9a-z][0-9]", curp),
    (r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}[.\-][0-9]{2}", nn),
    (r"[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]-[1-8][0-9]{6}", rrn),
    (r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", rut),
    (r"[0-9]{2}[0156][0-9][0-3][0-9]/[0-9]{3,4}", rc),
    (r"[0-9]{2}-[0-9]{8}-[0-9]", cuit),
    (r"[0-9]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]", pin),
)
# Plain digits: the checksum counts beside a cue.
_BY_CUE: tuple[tuple[str, str, ModuleType], ...] = (
    (r"[0-9]{11}", r"\bcpf\b", cpf),
    (r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}", r"\bsin\b|social insurance|assurance sociale", sin),
    (r"[0-9]{8,9}", r"\btfn\b|tax file", tfn),
    (r"[0-9]{11}", r"rijksregister|registre national|nationalregister|\bnn\b|\binsz\b|\bniss\b", nn),
    (r"[0-9]{10}", r"\begn\b|егн", egn),
    (r"[0-9]{11}", r"isikukood|asmens kod|personal code", ik),
    (r"[0-9]{11}", r"\bamka\b|αμκα", amka),
    (r"[0-9]{11}", r"\boib\b", oib),
    (r"[0-9]{7}[A-Za-z]{1,2}", r"\bpps|personal public service", pps),
    (r"[0-9]{9}", r"teudat|israeli id|ת\.ז", teudat),
    (r"[2-9][0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{4}", r"aadh?aar|\buid", aadhaar),
    (r"[0-9]{6}-?[0-9]{4}", r"kennital", kennitala),
    (r"[0-9]{2,3}-?[0-9]{3}-?[0-9]{3}", r"\bird\b", ird),
    (r"[1-9][0-9]{12}", r"\bcnp\b|cod numeric", cnp),
    (r"[0-9]{13}", r"\bem[sš]o\b|\bjmbg\b|матичн", emso),
    (r"[1-9][0-9]{10}", r"kimlik|\btc\b|t\.c\.", tckimlik),
    (r"[0-9]{13}", r"\bsa id\b|south african|\bid n(?:o|umber)", south_african),
    (r"[0-9]{9,10}", r"rodné|\brč\b", rc),
)


def _checked(module: ModuleType) -> Callable[[str], bool]:
    return lambda value: bool(module.is_valid(compact(value).replace(" ", "")))


_SINGAPORE = r"nric|\bfin\b|singapore"
_INDIAN = r"\bpan\b|tax"
_PENSION = r"versicherung|sozial|rente"
_CUES = "|".join((*(cue for _, cue, _ in _BY_CUE), _SINGAPORE, _INDIAN, _PENSION))
_SHAPES = "|".join(f"(?:{shape})" for shape, _ in _BY_SHAPE)

RULES = RuleSet(
    (
        *(Rule("foreign_id", Pattern(shape), _checked(module), edge="digits") for shape, module in _BY_SHAPE),
        *(
            Rule("foreign_id", Pattern(shape), _checked(module), cue=Pattern(rf"(?i){cue}"), edge="digits")
            for shape, cue, module in _BY_CUE
        ),
        Rule("foreign_id", Pattern(r"[STFGM][0-9]{7}[A-Z]"), cue=Pattern(rf"(?i){_SINGAPORE}"), edge="word"),
        Rule(
            "foreign_id",
            Pattern(r"[A-Z]{3}[PCHFATBLJG][A-Z][0-9]{4}[A-Z]"),
            cue=Pattern(rf"(?i){_INDIAN}"),
            edge="word",
        ),
        Rule("foreign_id", Pattern(r"[0-9]{8}[A-Z][0-9]{3}"), cue=Pattern(rf"(?i){_PENSION}"), edge="word"),
    ),
    hint=Pattern(rf"(?i:{_CUES})|{_SHAPES}"),
)
