// The live page: connects the changes from the server with the tiles.
//
// Must not know: how either of them works.

import { listen } from "./changes.js";
import { Tiles } from "./tiles.js";
import { pictureCount } from "./sentences.js";

const byId = (id) => document.getElementById(id);

const tiles = new Tiles(byId("tiles"), byId("enlarged"), ({ n_items, n_unfinished, announcements }) => {
  byId("count").textContent = pictureCount(n_items, n_unfinished);
  byId("empty").hidden = n_items > 0;
  if (announcements.length) byId("announcer").textContent = announcements.join(" ");
});

listen("events", {
  onBatch: (batch) => tiles.take(batch),
  onOpen: (nowS) => {
    byId("connection").textContent = "";
    tiles.setClock(nowS);
    tiles.refresh(); // pictures that failed to load meanwhile are requested again
  },
  onLost: () => {
    byId("connection").textContent = "Connection lost. Trying again…";
  },
});
