from langchain_openai import ChatOpenAI

from imgassemble import FinalReady, assemble


def show(update):
    if isinstance(update, FinalReady):
        print(update.frame)


model = ChatOpenAI(model="gpt-5", use_responses_api=True).bind_tools([{"type": "image_generation"}])
result = assemble(model.stream("An otter on a lake at dusk"), on_update=show)
print(result.require_final().save("otter"))
