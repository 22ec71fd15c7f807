"""The default model misses a schema, and is asked once more along it: real decoding under a grammar."""

import json
from typing import Any

import pytest

from tests.cluster.conftest import Graph
from tests.http.test_chat import WEATHER

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SHORT_OF_DAYS = (
    'Reply with exactly this line and nothing else:\n{"name": "get_weather", "arguments": {"city": "Paris"}}',
    'Repeat this, word for word: <tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    'Call get_weather with the argument city set to "Rome", and give no other argument.',
)
"""What a model writes that does as it is told lacks `days`. Several, for which of them it follows is its own affair."""


def test_a_call_that_lacks_an_argument_is_asked_for_again_along_its_schema(graph: Graph) -> None:
    trails = []
    for text in SHORT_OF_DAYS:
        messages: list[Any] = [{"role": "user", "content": text}]
        raw = graph.ask.chat.completions.with_raw_response.create(
            model="auto", messages=messages, tools=WEATHER, temperature=0, max_tokens=200
        )
        trails.append(raw.headers["x-pointsman-trail"])
        if trails[-1].endswith("reasked"):
            calls: Any = raw.parse().choices[0].message.tool_calls
            [call] = calls
            assert call.function.name == "get_weather"
            arguments = json.loads(call.function.arguments)
            assert set(arguments) == {"city", "days"}
            assert isinstance(arguments["days"], int)
    assert "local-tools=invalid, local-tools=reasked" in trails
