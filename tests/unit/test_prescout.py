"""The shipped pre-scout: classics, keyword baits, robustness, determinism, concurrency.

Knows nothing about the training data; every prompt here was written for these tests.
"""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scout.prescout import PreScout

ROOT = Path(__file__).resolve().parents[2]

TRIVIAL = (
    "Compare 2+2 and 3+3",
    "hello there",
    "good morning!",
    "thanks, that is all",
    "What is the capital of Portugal?",
    "How many days are in a week?",
    "Convert 5 kilometres to metres",
    "What is 12 * 7?",
    "Analyse whether 10 is bigger than 4",
    "Can you prove you are awake? Just say yes.",
    "Spell the word necessary",
    "Translate 'good night' into Spanish",
    "What colour is grass?",
    "What day comes after Tuesday?",
    "Is 17 an odd number?",
    "Who wrote Hamlet?",
    "What does the abbreviation USB stand for?",
    "Say hi to my daughter Lena",
    "how many minutes are in two hours",
    "Compare the letters a and b: which comes first?",
    "Give the plural of mouse",
    "opposite of hot?",
    "Optimise the fraction 2/4 to its lowest terms",
    "What is 20% of 50?",
)

COMPLEX = (
    "Our checkout sometimes charges twice when the payment provider times out. How would you redesign the "
    "flow, with its retries, idempotency and reconciliation, across four services?",
    "Show that there are infinitely many primes congruent to 3 modulo 4.",
    "Please could you kindly work out a closed form for the sum of k^2 * 2^k from 1 to n, with the full "
    "derivation?",
    "Why does our Raft cluster lose its leader every time a snapshot is taken under heavy writes, and what "
    "would you change?",
    "Write a lock-free multi-producer queue in C++ and argue that it is linearizable.",
    "Plan the move of a 40 TB Oracle database to PostgreSQL with less than five minutes of downtime, with "
    "rollback at every step.",
    "Design a multi-region rate limiter that stays correct during a network partition",
    "Is every finite subgroup of the multiplicative group of a field cyclic? Justify fully.",
    "hey, quick one: can you get me a compiler for a small typed functional language with type inference, "
    "closures and a garbage collector",
    "Derive the Black-Scholes equation from a delta-hedged portfolio, stating each assumption.",
    "Give a schedule for 12 nurses over 4 weeks that respects rest rules, skills and leave, and argue why no "
    "schedule with fewer shifts exists.",
    "Threat-model a hospital messaging app with end-to-end encryption, group chat and lawful key recovery; "
    "rank the attacks and mitigations.",
    "Explain why the halting problem cannot be decided, then adapt the argument to show that program "
    "equivalence is undecidable.",
    "Build a streaming pipeline that joins clicks and purchases exactly once with late events up to three "
    "days, and show how you test it",
    "Determine all functions f from the reals to the reals with f(x + y) = f(x) f(y) that are continuous at "
    "one point.",
    "Implement a B+ tree with concurrent inserts, crash recovery by write-ahead logging, and range scans",
    "We want one schema for 300 tenants with different retention laws. Weigh row-level, schema-level and "
    "database-level isolation for cost, migration and audit.",
    "Compute the expected number of rolls of a fair die until every face has appeared twice.",
    "Formulate the unit commitment problem as a mixed-integer programme and describe a decomposition that "
    "scales to 1,000 generators.",
    "Two identical pendulums are coupled by a spring. Find the normal modes and the energy exchange period "
    "for small coupling.",
    "Rewrite this monolith as event-sourced services: orders, stock, billing. Specify events, sagas and "
    "compensation for each failure.",
    "zero downtime, sharded, strongly consistent key-value store. architecture and failure proofs please",
)

# What the pre-scout must get right at least, of prompts that it has not seen.
SHARE_RIGHT = 0.8
SHARE_FLIPPED = 0.1


@pytest.fixture(scope="module")
def prescout() -> PreScout:
    return PreScout.load()


def _difficulty(prescout: PreScout, text: str) -> str:
    return prescout.score(text)[0].difficulty


def _typo(text: str) -> str:
    """Swaps two neighbouring letters in the middle of the longest word."""
    word = max(text.split(), key=len)
    middle = len(word) // 2
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return text.replace(word, swapped, 1)


VARIANTS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "typo": _typo,
    "please": lambda text: f"Please, {text}",
    "could-you": lambda text: f"Could you help me with this? {text} Thank you!",
    "spaces": lambda text: f"  {text}\n\n",
}


@pytest.mark.parametrize(("label", "prompts"), [("trivial", TRIVIAL), ("complex", COMPLEX)])
def test_plain_prompts_are_judged_right(prescout: PreScout, label: str, prompts: tuple[str, ...]) -> None:
    wrong = {text: found for text in prompts if (found := _difficulty(prescout, text)) != label}
    assert len(wrong) <= (1 - SHARE_RIGHT) * len(prompts), wrong


def test_trivial_and_complex_are_hardly_ever_swapped(prescout: PreScout) -> None:
    swapped = [text for text in TRIVIAL if _difficulty(prescout, text) == "complex"]
    swapped += [text for text in COMPLEX if _difficulty(prescout, text) == "trivial"]
    assert len(swapped) <= 0.1 * (len(TRIVIAL) + len(COMPLEX)), swapped


@pytest.mark.parametrize(
    "text", ["Compare 2+2 and 3+3", "compare 4+1 and 2+9", "Please compare 2+2 and 3+3 for me."]
)
def test_a_comparison_of_two_sums_is_not_complex(prescout: PreScout, text: str) -> None:
    assert _difficulty(prescout, text) != "complex"


@pytest.mark.parametrize("variant", VARIANTS)
def test_wording_noise_flips_few_judgements(prescout: PreScout, variant: str) -> None:
    changed = VARIANTS[variant]
    prompts = TRIVIAL + COMPLEX
    flipped = [
        text for text in prompts if _difficulty(prescout, text) != _difficulty(prescout, changed(text))
    ]
    assert len(flipped) < SHARE_FLIPPED * len(prompts), flipped


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(), max_size=400))
def test_any_text_gives_finite_probabilities_that_sum_to_one(prescout: PreScout, text: str) -> None:
    scout, task = prescout.score(text)
    shares = (scout.trivial, scout.standard, scout.complex)
    assert all(0 <= share <= 1 for share in shares)
    assert math.isclose(sum(shares), 1, abs_tol=1e-9)
    assert scout.confidence == max(shares)
    assert 0 < task.confidence <= 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 1_000_000, id="one-letter"),
        pytest.param("😀" * 250_000, id="emoji"),
        pytest.param("漢字" * 500_000, id="cjk"),
        pytest.param("\x00\x7f\u200b\u202e", id="control"),
        pytest.param("\ud800 lone surrogate", id="surrogate"),
    ],
)
def test_odd_texts_are_judged(prescout: PreScout, text: str) -> None:
    scout, _ = prescout.score(text)
    assert scout.source == "pre-scout"
    assert math.isfinite(scout.confidence)


def test_scores_are_bit_equal_across_processes_and_hash_seeds(prescout: PreScout) -> None:
    script = (
        "from models.scout.prescout import PreScout; p = PreScout.load();"
        f"print([p.score(t) for t in {TRIVIAL[:5] + COMPLEX[:5]!r}])"
    )
    expected = str([prescout.score(text) for text in TRIVIAL[:5] + COMPLEX[:5]])
    for seed in ("1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_threads_share_one_instance(prescout: PreScout) -> None:
    prompts = (TRIVIAL + COMPLEX) * 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(prescout.score, prompts))
    assert together == [prescout.score(text) for text in prompts]


def test_loading_and_scoring_needs_no_torch() -> None:
    script = (
        "import sys; from models.scout.prescout import PreScout; PreScout.load().score('hi');"
        "print(sorted({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
