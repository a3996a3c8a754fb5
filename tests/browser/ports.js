/** Free ports of this machine, below those that the system gives to outgoing connections. */

import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/** `FIRST-LAST`, for who shares a machine with others. */
const [FIRST, LAST] = (process.env.BROWSER_PORTS ?? "20000-31999").split("-").map(Number);
const TRIES = 200;
const HOST = "127.0.0.1";

/** @type {Set<number>} */
const given = new Set();

/**
 * A port that is free for TCP and for UDP, another one each time.
 *
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (let n = 0; n < TRIES; n += 1) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (given.has(port) || !(await isFreeForTcp(port)) || !(await isFreeForUdp(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no port from ${FIRST} to ${LAST} is free`);
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFreeForTcp(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFreeForUdp(port) {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => resolve(false));
    socket.bind(port, HOST, () => socket.close(() => resolve(true)));
  });
}
