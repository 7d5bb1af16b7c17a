import streamlit as st
from openai import OpenAI

from imgassemble import FinalReady, FrameAdded, assemble

prompt = st.text_input("Prompt", "An otter on a lake at dusk")  # streamlit run with_streamlit.py
if st.button("Draw"):
    place = st.empty()
    place.info("waiting for the first preview")

    def show(update):
        match update:
            case FrameAdded(is_latest=True, frame=frame):
                place.image(frame.data_url, caption=f"preview {frame.index + 1:g}")
            case FinalReady(frame=frame):
                place.image(frame.data_url, caption="final")

    stream = OpenAI().images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)
    result = assemble(stream, on_update=show)
    if result.error:
        st.error(result.error)
    else:
        st.download_button("Save", result.final.data, f"otter{result.final.suffix}", result.final.mime_type)
