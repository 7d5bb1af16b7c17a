import streamlit as st
from openai import APIError, OpenAI

from imgassemble import FinalReady, FrameAdded, ImgassembleError, StreamEnded, assemble

prompt = st.text_input("Prompt", "An otter on a lake at dusk")  # streamlit run with_streamlit.py
if st.button("Draw"):
    place = st.empty()
    place.info("waiting for the first preview")

    def open_stream():
        return OpenAI().images.generate(model="gpt-image-1", prompt=prompt, partial_images=2, stream=True)

    def show(update):
        match update:
            case FrameAdded(is_latest=True, frame=frame):
                place.image(frame.data_url, caption=f"preview {frame.index + 1:g}")
            case FinalReady(frame=frame, is_provisional=False):
                place.image(frame.data_url, caption="final")
            case StreamEnded(error=error) if error:  # it takes the place of the preview
                place.error(str(error))

    try:
        final = assemble(open_stream, on_update=show).require_final()
    except (APIError, ImgassembleError):  # `show` has shown it
        st.stop()
    st.download_button("Save", final.data, f"otter{final.suffix}", final.mime_type)
