"""How the training sets' own labels and outcomes become our difficulty and task classes.

Tables and one rule; does not read files.
"""

from collections.abc import Mapping, Sequence

from serve.signals.readings import Difficulty, TaskType

UNCOMMON_TASKS: dict[str, TaskType] = {
    "factual-qa": "question_answering",
    "definition": "question_answering",
    "explanation": "question_answering",
    "greeting": "other",
    "edge-noise": "other",
    "system-design": "analysis",
    "architecture": "analysis",
    "infrastructure": "analysis",
    "migration": "analysis",
    "security-analysis": "analysis",
    "comparison": "analysis",
    "formal-proof": "reasoning",
    "algorithm-proof": "reasoning",
    "math-derivation": "reasoning",
    "formal-logic": "reasoning",
    "logic-puzzle": "reasoning",
    "math-word-problem": "reasoning",
    "game-theory": "reasoning",
    "simple-code": "code_generation",
    "complex-code": "code_generation",
    "ml-pipeline": "code_generation",
    "testing": "code_generation",
    "code-review": "code_review",
    "debugging": "code_review",
    "performance": "code_review",
    "summary": "summarisation",
    "translation": "translation",
    "rewrite": "rewriting",
    "extraction": "extraction",
    "classification": "classification",
    "structured-output": "formatting",
    "brainstorming": "long_form",
    "creative": "long_form",
    "documentation": "long_form",
    "agentic-task": "tool_call",
}

ULAB_TASKS: dict[str, TaskType] = {
    "natural_qa": "question_answering",
    "trivia_qa": "question_answering",
    "arc_challenge": "question_answering",
    "openbook_qa": "question_answering",
    "commonsense_qa": "question_answering",
    "mmlu": "question_answering",
    "gsm8k": "reasoning",
    "agentverse-mgsm": "reasoning",
    "agentverse-logicgrid": "reasoning",
    "math": "reasoning",
    "gpqa": "reasoning",
    "mbpp": "code_generation",
    "human_eval": "code_completion",
}

FOLLOWBENCH_TASKS: dict[str, TaskType] = {
    "cnn_dailymail": "summarisation",
    "xsum": "summarisation",
    "arxiv": "summarisation",
    "Tedtalks": "translation",
    "Open Subtitles": "translation",
    "WritingPrompts": "long_form",
    "text_editing": "rewriting",
    "CONLL2003": "extraction",
    "WIKIEVENTS": "extraction",
    "t0_zsnoopt_data": "classification",
    "BBH_logical": "reasoning",
    "BBH_time": "reasoning",
    "humaneval": "code_completion",
    "quora": "question_answering",
}

ARENA_TASKS: dict[str, TaskType] = {
    "coding": "code_generation",
    "math": "reasoning",
    "creative_writing": "long_form",
}

VSR_DIFFICULTIES: dict[str, Difficulty] = {
    "simple_task": "trivial",
    "generic_coding": "standard",
    "architecture_analysis": "complex",
    "root_cause_analysis": "complex",
    "multi_step_tradeoffs": "complex",
}

MATHS_SUBJECTS = frozenset({"math", "physics", "engineering", "chemistry"})

# Open models of 2023-2024 up to about 14B: the nearest thing in the data to a local lane.
SMALL_MODELS = frozenset(
    {
        "llama-3.1-8b-instruct",
        "llama-3-8b-instruct",
        "mistral-7b-instruct-v0.2",
        "mistral-7b-instruct-v0.3",
        "mistral-nemo-instruct-2407",
        "phi-3-mini-4k-instruct",
        "phi-3.5-mini-instruct",
        "qwen1.5-7b-chat",
        "qwen2-7b-instruct",
        "qwen2.5-7b-instruct",
        "mathstral-7b",
        "yi-6b-chat",
        "yi-1.5-9b-chat",
        "gemma-2-2b-it",
        "gemma-2-9b-it",
        "codegemma-7b",
        "mixtral-8x7b-instruct",
    }
)

ALL_RIGHT = 0.95
FEW_RIGHT = 0.25


def difficulty_of(scores: Mapping[str, float], broken: Sequence[str] = ()) -> Difficulty:
    """Trivial: every small model is right. Complex: at most a quarter of them. Otherwise standard.

    With fewer than three small models "all right" is weak evidence, so such a row is never trivial.
    """
    small = [value for model, value in scores.items() if model in SMALL_MODELS and model not in broken]
    if not small:
        return "standard"
    share = sum(value >= 0.5 for value in small) / len(small)
    if share >= ALL_RIGHT and len(small) >= 3:
        return "trivial"
    return "complex" if share <= FEW_RIGHT else "standard"


def broken_models(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Models whose mean is under half of the best: they fail the answer format, not the questions."""
    models = {model for row in rows for model in row}
    means = {model: sum(row.get(model, 0.0) for row in rows) / len(rows) for model in models}
    return sorted(model for model, mean in means.items() if mean < 0.5 * max(means.values()))
