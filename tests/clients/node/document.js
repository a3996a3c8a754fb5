/**
 * docs/asyncapi.yaml: read by AsyncAPI's own parser, and its schemas made into checks.
 *
 * Objects of the gateway are open in the document, for clients have to pass over fields that they do not know. Here
 * they are closed, so that a field that the gateway has and the document has not is seen.
 *
 * @import { ValidateFunction } from "ajv"
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import parser from "@asyncapi/parser";
import { Ajv } from "ajv";
import formats from "ajv-formats";

export const PATH = fileURLToPath(new URL("../../../docs/asyncapi.yaml", import.meta.url));

/** Diagnostics of the parser from here on are remarks: that there is a newer version of AsyncAPI, for one. */
const REMARK = 2;

/** The document is not valid. */
export class Invalid extends Error {}

/** The document with a check for each of its messages. */
export class Document {
  /** @type {Ajv} */
  #ajv;
  /** @type {Map<string, ValidateFunction>} */
  #checks = new Map();

  /** @param {any} json the document with its references resolved where they stand */
  constructor(json) {
    this.json = json;
    // Unions of types are what nullable fields are written with.
    this.#ajv = new Ajv({ allowUnionTypes: true, strictRequired: false });
    // A default export of CommonJS, of which TypeScript sees the module.
    /** @type {any} */ (formats)(this.#ajv);
  }

  /**
   * Reads and validates a document.
   *
   * @param {string} [text]
   */
  static async read(text = readFileSync(PATH, "utf8")) {
    const { document, diagnostics } = await new parser.Parser().parse(text);
    const faults = diagnostics.filter((diagnostic) => diagnostic.severity < REMARK);
    if (document === undefined || faults.length > 0) {
      throw new Invalid(faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n"));
    }
    return new Document(document.json());
  }

  /**
   * The names of a channel's messages that the gateway sends (`send`) or takes (`receive`).
   *
   * @param {string} channel
   * @param {"send" | "receive"} action
   * @returns {string[]}
   */
  messages(channel, action) {
    const names = new Set();
    for (const operation of Object.values(this.json.operations)) {
      if (operation.channel !== this.json.channels[channel]) continue;
      const told = [...(operation.action === action ? operation.messages : [])];
      if (action === "send") told.push(...(operation.reply?.messages ?? []));
      for (const message of told) names.add(this.#name(channel, message));
    }
    return [...names];
  }

  /**
   * @param {string} channel
   * @param {any} message
   * @returns {string}
   */
  #name(channel, message) {
    const found = Object.entries(this.json.channels[channel].messages).find(([, each]) => each === message);
    if (found === undefined) throw new Invalid(`a message of ${channel} is none of its channel`);
    return found[0];
  }

  /**
   * A message of the document.
   *
   * @param {string} name
   * @returns {any}
   */
  message(name) {
    return this.json.components.messages[name];
  }

  /**
   * Why something is not such a message; nothing where it is.
   *
   * @param {string} name
   * @param {unknown} value
   * @returns {string | undefined}
   */
  differs(name, value) {
    let check = this.#checks.get(name);
    if (check === undefined) {
      check = this.#ajv.compile(closed(this.message(name).payload));
      this.#checks.set(name, check);
    }
    return check(value) ? undefined : this.#ajv.errorsText(check.errors);
  }
}

/**
 * A copy of a schema whose objects have no fields but those that it names, without what the parser has added.
 *
 * @param {any} schema
 * @returns {any}
 */
export function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const copy = Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => !key.startsWith("x-parser"))
      .map(([key, value]) => [key, key === "enum" || key === "required" || key === "const" ? value : closed(value)]),
  );
  if (schema.type === "object" && schema.additionalProperties === undefined) copy.additionalProperties = false;
  return copy;
}
