// The live page: what the server tells goes on the wall.
//
// Knows: which part tells which. Must not know: how any of them does its work.

import { listen } from "./news.js";
import { Wall } from "./wall.js";
import { counted } from "./words.js";

const byId = (id) => document.getElementById(id);

const wall = new Wall(byId("tiles"), ({ n_items, n_under_way, news }) => {
  byId("count").textContent = counted(n_items, n_under_way);
  byId("empty").hidden = n_items > 0;
  if (news.length) byId("announcer").textContent = news.join(" ");
});

listen("events", {
  onBatch: (batch) => wall.take(batch),
  onOpen: () => {
    byId("connection").textContent = "";
    wall.refresh(); // a picture that could not be had meanwhile is asked for again
  },
  onLost: () => {
    byId("connection").textContent = "connection lost, trying again…";
  },
});
