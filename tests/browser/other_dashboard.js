/** Another build of the dashboard in front of a server, with the headers of the server's own; everything else goes through. */

import { existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { join, normalize } from "node:path";

/** @type {Record<string, string>} */
const MEDIA_TYPES = { css: "text/css", html: "text/html; charset=utf-8", js: "text/javascript", svg: "image/svg+xml" };

/**
 * Serves on `port` what is in `directory`, and passes on to `target` what is not.
 *
 * @param {string} directory
 * @param {number} port
 * @param {number} target
 * @returns {Promise<import("node:http").Server>}
 */
export async function serveOther(directory, port, target) {
  const server = createServer((asked, answer) => {
    const path = new URL(asked.url ?? "/", "http://any").pathname;
    const file = join(directory, normalize(path === "/" ? "/index.html" : path));
    const isOurs = asked.method === "GET" && existsSync(file) && !path.startsWith("/v1");
    // The page's headers are asked for at `/`, and given to each of its files.
    const onward = request({ port: target, host: "127.0.0.1", method: asked.method, path: isOurs ? "/" : asked.url, headers: asked.headers }, (got) => {
      if (!isOurs) return answer.writeHead(got.statusCode ?? 502, got.headers) && got.pipe(answer);
      got.resume();
      const type = MEDIA_TYPES[file.split(".").at(-1) ?? ""] ?? "application/octet-stream";
      answer.writeHead(200, { "content-type": type, "content-security-policy": String(got.headers["content-security-policy"]) });
      answer.end(readFileSync(file));
    });
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
  server.on("upgrade", (asked, socket, head) => {
    const onward = connect(target, "127.0.0.1", () => {
      const headers = asked.rawHeaders.flatMap((name, n, all) => (n % 2 === 0 ? [`${name}: ${all[n + 1]}`] : []));
      onward.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy()).on("close", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(undefined)));
  return server;
}
