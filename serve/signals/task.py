"""The task signal: what kind of work is asked for.

What the structure of a request says outweighs what a classifier guesses from its words.
"""

from serve.request import RequestView
from serve.signals.readings import TaskReading


def settle(view: RequestView, guess: TaskReading) -> TaskReading:
    """Offered tools make a tool call, images and audio make it multimodal; otherwise the guess stands."""
    if view.needs & {"vision", "audio"}:
        return TaskReading("multimodal", 1.0)
    if view.tool_names:
        return TaskReading("tool_call", 1.0)
    return guess
