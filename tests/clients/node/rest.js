/** The few calls of the REST API that the checks need. */

/** A gateway at a URL, asked with a token if there is one. */
export class Api {
  /**
   * @param {string} url
   * @param {string} [token]
   */
  constructor(url, token) {
    this.url = url.replace(/\/$/, "");
    this.token = token;
  }

  /**
   * Asks, whatever the answer is.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<{ status: number, mediaType: string, body: any }>}
   */
  async call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.token !== undefined) headers.Authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.url + path, { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    const mediaType = (answer.headers.get("Content-Type") ?? "").split(";")[0];
    return { status: answer.status, mediaType, body: mediaType.endsWith("json") ? JSON.parse(text) : undefined };
  }

  /**
   * Asks, and gives the body of the answer, which must have this status.
   *
   * @param {number} status
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async expect(status, method, path, body) {
    const answer = await this.call(method, path, body);
    if (answer.status !== status) {
      throw new Error(`${method} ${path}: ${answer.status}, not ${status}: ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  /**
   * All items of a list.
   *
   * @param {string} path
   * @returns {Promise<any[]>}
   */
  async pages(path) {
    const items = [];
    for (let cursor = ""; ; ) {
      const page = await this.expect(200, "GET", `${path}?limit=500${cursor}`);
      items.push(...page.items);
      if (page.next_cursor === null) return items;
      cursor = `&cursor=${page.next_cursor}`;
    }
  }
}
