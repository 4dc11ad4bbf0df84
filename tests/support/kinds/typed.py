"""Models with type hints, and MLflow's chat models and agents."""

import datetime as dt
from functools import partial
from typing import Any, Optional

import pydantic
from mlflow.pyfunc import ChatAgent, ChatModel, PythonModel, ResponsesAgent
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse

from tests.support.kinds.columns import scalar
from tests.support.kinds.kind import COLUMNS, ROWS, Kind, Rng, number, save_python

ONE_FORM = frozenset({ROWS})


class Inner(pydantic.BaseModel):
    """An object within another."""

    a: int = 3


class Item(pydantic.BaseModel):
    """An object with fields of every kind of optional."""

    name: str
    count: int = 2
    note: Optional[str] = None  # noqa: UP045 - as people write it
    inner: Inner = Inner()
    more: list[Inner] = pydantic.Field(default_factory=list)


class Event(pydantic.BaseModel):
    """An object with a moment."""

    at: dt.datetime
    tags: dict[str, float]


class Scored(pydantic.BaseModel):
    """An answer that is an object."""

    name: str
    score: float


class OfTexts(PythonModel):  # type: ignore[misc]
    """Takes texts."""

    def predict(self, model_input: list[str], params: Any = None) -> list[str]:  # noqa: ARG002
        """Answer texts."""
        return [text.upper() for text in model_input]


class OfNumbers(PythonModel):  # type: ignore[misc]
    """Takes whole numbers."""

    def predict(self, model_input: list[int], params: Any = None) -> list[float]:  # noqa: ARG002
        """Answer numbers."""
        return [number / 2 for number in model_input]


class OfLists(PythonModel):  # type: ignore[misc]
    """Takes lists."""

    def predict(self, model_input: list[list[float]], params: Any = None) -> list[list[float]]:  # noqa: ARG002
        """Answer lists."""
        return [[value, value * 2] for (value, *_) in model_input]


class OfMaps(PythonModel):  # type: ignore[misc]
    """Takes maps."""

    def predict(
        self,
        model_input: list[dict[str, float]],
        params: Any = None,  # noqa: ARG002
    ) -> list[dict[str, float]]:
        """Answer maps."""
        return [{**row, "sum": sum(row.values())} for row in model_input]


class OfItems(PythonModel):  # type: ignore[misc]
    """Takes objects with defaults."""

    def predict(self, model_input: list[Item], params: Any = None) -> list[str]:  # noqa: ARG002
        """Tell all fields."""
        return [repr(item) for item in model_input]


class OfEvents(PythonModel):  # type: ignore[misc]
    """Takes objects with moments."""

    def predict(self, model_input: list[Event], params: Any = None) -> list[str]:  # noqa: ARG002
        """Tell all fields."""
        return [repr(event) for event in model_input]


class OfScores(PythonModel):  # type: ignore[misc]
    """Answers objects."""

    def predict(self, model_input: list[Item], params: Any = None) -> list[Scored]:  # noqa: ARG002
        """Score each."""
        return [Scored(name=item.name, score=item.count) for item in model_input]


class Chat(ChatModel):  # type: ignore[misc]
    """A chat model that repeats what it is told."""

    def predict(self, context: Any, messages: Any, params: Any) -> ChatCompletionResponse:  # noqa: ARG002
        """Answer one message."""
        said = f"{messages[-1].content} {params.temperature} {params.top_k} {params.stop}"
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=said))
        return ChatCompletionResponse(choices=[choice], model="m", created=1)


class Agent(ResponsesAgent):  # type: ignore[misc]
    """An agent that repeats what it is told."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        """Answer one item."""
        said = f"{request.input[-1].content} {request.user} {request.temperature}"
        item = self.create_text_output_item(text=said, id="msg_1")
        return ResponsesAgentResponse(output=[item], created_at=1.0)


class OlderAgent(ChatAgent):  # type: ignore[misc]
    """An agent of the interface before."""

    def predict(
        self, messages: Any, context: Any = None, custom_inputs: Any = None
    ) -> ChatAgentResponse:
        """Answer one message."""
        said = f"{messages[-1].content} {context} {custom_inputs}"
        message = ChatAgentMessage(role="assistant", content=said, id="1")
        return ChatAgentResponse(messages=[message])


def _items(rng: Rng, count: int) -> list[Any]:
    made = []
    for _ in range(count):
        item: dict[str, Any] = {"name": scalar("string", rng)}
        if rng.random() < 0.5:
            item["count"] = int(rng.integers(9))
        if rng.random() < 0.5:
            item["note"] = None if rng.random() < 0.5 else "größe"
        if rng.random() < 0.5:
            item["inner"] = {} if rng.random() < 0.5 else {"a": 1}
        if rng.random() < 0.5:
            item["more"] = [{"a": 5}, {}]
        made.append([item])
    return made


def _events(rng: Rng, count: int) -> list[Any]:
    return [
        [{"at": f"2024-01-0{int(rng.integers(1, 9))}T12:00:00", "tags": {"ü": number(rng)}}]
        for _ in range(count)
    ]


def _messages(rng: Rng, count: int) -> list[Any]:
    made = []
    for _ in range(min(count, 2)):
        row: dict[str, Any] = {"messages": [{"role": "user", "content": scalar("string", rng)}]}
        if rng.random() < 0.5:
            row["temperature"] = 0.5
        made.append(row)
    return made


def _requests(rng: Rng, count: int) -> list[Any]:
    made = []
    for _ in range(min(count, 2)):
        row: dict[str, Any] = {"input": [{"role": "user", "content": scalar("string", rng)}]}
        if rng.random() < 0.5:
            row["user"] = "somebody"
        made.append(row)
    return made


def _typed(name: str, model: Any, rows: Any) -> Kind:
    return Kind(f"typed {name}", partial(save_python, model=model), rows, ONE_FORM, asks="list")


def _one(name: str, model: Any, rows: Any) -> Kind:
    forms = frozenset({ROWS, COLUMNS})
    saved = partial(save_python, model=model)
    return Kind(f"typed {name}", saved, rows, forms, asks="request", alone=True)


KINDS = [
    _typed("texts", OfTexts(), lambda rng, n: [[scalar("string", rng)] for _ in range(n)]),
    _typed("numbers", OfNumbers(), lambda rng, n: [[scalar("long", rng)] for _ in range(n)]),
    _typed("lists", OfLists(), lambda rng, n: [[[number(rng), 1.0]] for _ in range(n)]),
    _typed("maps", OfMaps(), lambda rng, n: [[{"a": number(rng), "ü": 1.0}] for _ in range(n)]),
    _typed("items", OfItems(), _items),
    _typed("events", OfEvents(), _events),
    _typed("scores", OfScores(), _items),
    _one("chat", Chat(), _messages),
    _one("agent", Agent(), _requests),
    _one("older agent", OlderAgent(), _messages),
]
