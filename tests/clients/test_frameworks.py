"""Frameworks over the clients: their events are read if their shape allows it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import count
from typing import Any

import pytest

from clients.laws import CHAT, PROMPT, RESPONSE, TOOL, ClientLaws, Route


def needs(package: str, distribution: str) -> pytest.MarkDecorator:
    is_missing = find_spec(package) is None
    return pytest.mark.skipif(is_missing, reason=f"{package} is not installed: pip install {distribution}")


async def over_agents(server: Any) -> AsyncIterator[Any]:
    from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=server.base_url, api_key="-", max_retries=0) as client:
        model = OpenAIResponsesModel(model="gpt-5", openai_client=client)
        agent = Agent(name="painter", model=model, tools=[ImageGenerationTool(TOOL)])
        async for event in Runner.run_streamed(agent, PROMPT).stream_events():
            yield event


@needs("agents", "openai-agents")
class TestOpenAIAgents(ClientLaws):
    client = "openai-agents"
    packages = ("openai-agents", "openai")
    routes = (Route(name="Runner.run_streamed().stream_events()", open=over_agents, is_lossy=True),)


async def over_chatkit(server: Any) -> AsyncIterator[Any]:
    from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
    from chatkit.agents import AgentContext, stream_agent_response
    from chatkit.types import ThreadMetadata
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=server.base_url, api_key="-", max_retries=0) as client:
        model = OpenAIResponsesModel(model="gpt-5", openai_client=client)
        agent = Agent(name="painter", model=model, tools=[ImageGenerationTool(TOOL)])
        thread = ThreadMetadata(id="thr_1", created_at=datetime.now(UTC))
        store: Any = ChatStore()  # the part that a new thread needs
        context = AgentContext(thread=thread, store=store, request_context=None)
        async for event in stream_agent_response(context, Runner.run_streamed(agent, PROMPT)):
            yield event


class ChatStore:
    """The part of ChatKit's store that a new thread needs."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def generate_item_id(self, kind: str, *_: object) -> str:
        return f"{kind}_{next(self._numbers)}"

    async def load_thread_items(self, *_: object, **__: object) -> Any:
        from chatkit.types import Page

        return Page(data=[], has_more=False)


@needs("chatkit", "openai-chatkit")
@pytest.mark.filterwarnings("default")  # ChatKit's, of its own widgets
class TestChatKit(ClientLaws):
    client = "chatkit"
    packages = ("openai-chatkit", "openai")
    routes = (Route(name="stream_agent_response()", open=over_chatkit, is_lossy=True),)


def litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks another host for prices when it is imported
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def litellm_responses(server: Any) -> Iterator[Any]:
    asked = RESPONSE | {"model": "openai/gpt-5", "api_base": server.base_url, "api_key": "-"}
    yield from litellm().responses(**asked, stream=True, max_retries=0)


async def litellm_aresponses(server: Any) -> AsyncIterator[Any]:
    asked = RESPONSE | {"model": "openai/gpt-5", "api_base": server.base_url, "api_key": "-"}
    async for event in await litellm().aresponses(**asked, stream=True, max_retries=0):
        yield event


def litellm_completion(server: Any) -> Iterator[Any]:
    asked = CHAT | {"model": "openai/some-model", "api_base": server.base_url, "api_key": "-"}
    yield from litellm().completion(**asked, stream=True, max_retries=0)


@needs("litellm", "litellm mcp")
@pytest.mark.filterwarnings("default")  # pydantic's, of its own models
class TestLiteLLM(ClientLaws):
    client = "litellm"
    packages = ("litellm",)
    routes = (
        Route(name="responses(stream=True)", open=litellm_responses),
        Route(name="aresponses(stream=True)", open=litellm_aresponses),
        Route(name="completion(stream=True)", open=litellm_completion, api="chat"),
    )


async def over_pydantic_ai(server: Any) -> AsyncIterator[Any]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, ImageGenerationTool
    from pydantic_ai.capabilities import NativeTool
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with AsyncOpenAI(base_url=server.base_url, api_key="-", max_retries=0) as client:
        tool = ImageGenerationTool(provider_settings={"openai": {"partial_images": 2}})
        model = OpenAIResponsesModel("gpt-5", provider=OpenAIProvider(openai_client=client))
        agent = Agent(model, capabilities=[NativeTool(tool)])
        async with agent.run_stream_events(PROMPT) as events:
            async for event in events:
                yield event


@needs("pydantic_ai", "'pydantic-ai-slim[openai]'")
class TestPydanticAI(ClientLaws):
    client = "pydantic-ai"
    packages = ("pydantic-ai-slim", "openai")
    routes = (Route(name="agent.run_stream_events()", open=over_pydantic_ai),)


async def over_agent_framework(server: Any) -> AsyncIterator[Any]:
    from agent_framework import Agent
    from agent_framework.openai import OpenAIChatClient
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=server.base_url, api_key="-", max_retries=0) as connection:
        client = OpenAIChatClient(model="gpt-5", async_client=connection)
        agent = Agent(client=client, tools=[client.get_image_generation_tool(partial_images=2)])
        async for update in agent.run(PROMPT, stream=True):
            yield update


@needs("agent_framework", "agent-framework-openai")
class TestAgentFramework(ClientLaws):
    client = "agent-framework"
    packages = ("agent-framework-core", "agent-framework-openai")
    routes = (Route(name="agent.run(stream=True)", open=over_agent_framework),)


def over_langchain(version: str) -> Route:
    def stream(server: Any) -> Iterator[Any]:
        from langchain_openai import ChatOpenAI

        asked = {"base_url": server.base_url, "api_key": "-", "max_retries": 0, "output_version": version}
        model = ChatOpenAI(model="gpt-5", use_responses_api=True, **asked)
        yield from model.bind_tools([{"type": "image_generation"}]).stream(PROMPT)  # it refuses partial_images

    return Route(name=f"model.stream(), output_version={version!r}", open=stream)


@needs("langchain_openai", "langchain-openai")
class TestLangChain(ClientLaws):
    client = "langchain"
    packages = ("langchain-openai", "langchain-core")
    routes = (over_langchain("responses/v1"), over_langchain("v1"))
