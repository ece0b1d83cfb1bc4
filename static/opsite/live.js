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

  function ask(entry) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ follow: entry.topic, of: entry.of }));
  }

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
      if (told.error) {
        say("lost", told.error);
        if (entry.fail) entry.fail(told.error);
      } else {
        say("live", "live");
        entry.draw(told.data);
      }
    };
    socket.onclose = (event) => {
      if (event.code === 4403) {
        say("lost", "you are not logged in any more: reload the page");
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
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ leave: topic, of }));
  }

  return { follow, leave };
})());
