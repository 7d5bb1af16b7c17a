"""Makes events of engines that have no event stream: a websocket, an answer that is asked for again."""
