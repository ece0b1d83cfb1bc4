// The console's one websocket. A page says `opsite.follow("pool", "demo", draw)`; `draw` gets each snapshot.
// What shows the state of the connection has the class `live-link`.
"use strict";
window.opsite = Object.assign(window.opsite || {}, (() => {
  const followed = new Map(); // "topic of" → {topic, of, draw, fail}
  let socket = null;
  let tries = 0;

  function say(state, text) {
    for (const place of document.querySelectorAll(".live-link")) {
      place.dataset.state = state;
      place.textContent = text;
    }
  }

  function tell(message) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  const ask = (entry) => tell({ follow: entry.topic, of: entry.of, paced: true });

  function connect() {
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    socket = new WebSocket(scheme + location.host + "/ws/console/");
    socket.onopen = () => {
      tries = 0;
      followed.forEach(ask);
    };
    socket.onmessage = (message) => {
      const told = JSON.parse(message.data);
      const entry = followed.get(told.topic + " " + told.of);
      if (!entry) return;
      entry.error = told.error || "";
      const failing = [...followed.values()].find((one) => one.error);
      say(failing ? "lost" : "live", failing ? failing.error : "live");
      try {
        if (!told.error) entry.draw(told.data);
        else if (entry.fail) entry.fail(told.error);
      } finally {
        tell({ taken: entry.topic, of: entry.of }); // drawn: the next one may come
      }
    };
    socket.onclose = (event) => {
      if (event.code === 4403) {
        say("lost", "you are not logged in any more, or your role has changed: reload the page");
        return;
      }
      say("lost", "connection lost; what you see is old. Trying again…");
      setTimeout(connect, Math.min(10000, 500 * 2 ** tries++));
    };
  }

  function follow(topic, of, draw, fail) {
    const entry = { topic, of, draw, fail };
    followed.set(topic + " " + of, entry);
    if (socket) ask(entry);
    else connect();
  }

  function leave(topic, of) {
    followed.delete(topic + " " + of);
    tell({ leave: topic, of });
  }

  return { follow, leave };
})());
