/**
 * A form made from a JSON Schema: which fields there are, what they may hold, and the JSON that comes of what was typed.
 * Knows the part of JSON Schema that scenarios use; a field that it does not understand is left to the server's default. Pure.
 */

type Schema = Record<string, unknown>;

export interface FormField {
  name: string;
  label: string;
  help: string;
  isRequired: boolean;
  kind: "text" | "integer" | "number" | "choice";
  /** Words that may stand in a number's place, and all that a choice may be. */
  words: string[];
  minimum: number | null;
  maximum: number | null;
  minLength: number | null;
  maxLength: number | null;
  /** Shown where nothing is typed: what is taken then, or what may be typed for example. */
  fallback: string;
  /** The one value that it can have. */
  only: string | null;
}

export interface Written {
  body: string;
  errors: Record<string, string>;
}

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null && !Array.isArray(value);

/** Puts what a reference names in its place; the reference's own words count more. */
function resolved(schema: Schema, root: Schema, depth = 0): Schema {
  const reference = schema["$ref"];
  if (typeof reference !== "string" || !reference.startsWith("#/") || depth > 8) return schema;
  let target: unknown = root;
  for (const part of reference.slice(2).split("/")) target = isSchema(target) ? target[part] : undefined;
  if (!isSchema(target)) return schema;
  const { $ref: _, ...own } = schema;
  return resolved({ ...target, ...own }, root, depth + 1);
}

/** A schema's alternatives, flattened, without null. */
function alternatives(schema: Schema, root: Schema): Schema[] {
  const found = resolved(schema, root);
  const choices = found["oneOf"] ?? found["anyOf"];
  if (Array.isArray(choices)) {
    const { oneOf: _, anyOf: __, ...own } = found;
    return choices.filter(isSchema).flatMap((choice) => alternatives({ ...own, ...resolved(choice, root) }, root));
  }
  const types = Array.isArray(found["type"]) ? found["type"] : [found["type"]];
  return types.filter((type) => type !== "null").map((type) => ({ ...found, type }));
}

export function fieldsOf(root: Schema): FormField[] {
  const { properties, required } = root;
  if (!isSchema(properties)) return [];
  const needed = Array.isArray(required) ? required : [];
  return Object.entries(properties).flatMap(([name, schema]) => {
    const field = isSchema(schema) ? fieldOf(name, schema, root, needed.includes(name)) : null;
    return field === null ? [] : [field];
  });
}

function fieldOf(name: string, schema: Schema, root: Schema, isRequired: boolean): FormField | null {
  const choices = alternatives(schema, root);
  const words = choices.flatMap((choice) => (Array.isArray(choice["enum"]) ? choice["enum"].filter((word) => typeof word === "string") : []));
  const number = choices.find((choice) => choice["type"] === "integer" || choice["type"] === "number");
  const text = choices.find((choice) => choice["type"] === "string");
  const of = number ?? text;
  if (of === undefined) return null;
  const told = (key: string) => (typeof of[key] === "number" ? (of[key] as number) : null);
  const described = schema["description"] ?? resolved(schema, root)["description"] ?? of["description"];
  const initial = schema["default"] ?? of["default"];
  const kind = number !== undefined ? (number["type"] as "integer" | "number") : words.length > 0 ? "choice" : "text";
  return {
    name,
    label: labelOf(name),
    help: typeof described === "string" ? described : "",
    isRequired,
    kind,
    words,
    minimum: told("minimum"),
    maximum: told("maximum"),
    minLength: told("minLength"),
    maxLength: told("maxLength"),
    fallback: kind === "choice" ? String(initial ?? "") : [initial ?? schema["example"] ?? of["example"], ...words].filter((one) => one != null).join(" or "),
    only: kind === "choice" && isRequired && words.length === 1 ? (words[0] as string) : null,
  };
}

/** `tick_ms` as "tick, ms"; what the API calls entities are machines everywhere else on the page. */
function labelOf(name: string): string {
  if (name === "entities") return "machines";
  return name.replace(/_(ms|s|m|hz|percent)$/, ", $1").replaceAll("_", " ");
}

/** A bound for people; one that this language does not hold exactly is said as the power of two that it is near. */
function bound(value: number): string {
  if (Number.isSafeInteger(value) || !Number.isInteger(value)) return value.toLocaleString("en", { maximumFractionDigits: 6 });
  return `about 2^${Math.round(Math.log2(Math.abs(value)))}`;
}

/** What a field may hold, in words. */
export function allowed(field: FormField): string {
  const words = field.words.join(" or ");
  if (field.kind === "choice") return words;
  if (field.kind === "text") return field.maxLength === null ? "any text" : `up to ${field.maxLength} characters`;
  const what = field.kind === "integer" ? "a whole number" : "a number";
  const low = field.minimum === null ? "" : ` from ${bound(field.minimum)}`;
  const high = field.maximum === null ? "" : ` up to ${bound(field.maximum)}`;
  return `${what}${low}${high}${words === "" ? "" : `, or ${words}`}`;
}

/** A field's value as JSON; null where it is none that is allowed. */
function jsonOf(field: FormField, typed: string): string | null {
  if (field.words.includes(typed)) return JSON.stringify(typed);
  if (field.kind === "choice") return null;
  if (field.kind === "text") {
    const characters = [...typed].length;
    const isLong = field.maxLength !== null && characters > field.maxLength;
    return isLong || characters < (field.minLength ?? 0) ? null : JSON.stringify(typed);
  }
  const form = field.kind === "integer" ? /^-?(0|[1-9]\d*)$/ : /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;
  if (!form.test(typed)) return null;
  const value = Number(typed);
  if ((field.minimum !== null && value < field.minimum) || (field.maximum !== null && value > field.maximum)) return null;
  // As it was typed: a seed may have more digits than a number of this language.
  return typed;
}

/** Writes the JSON of what was typed; what is empty is left out, for the server to choose. */
export function written(fields: readonly FormField[], typed: Readonly<Record<string, string>>): Written {
  const errors: Record<string, string> = {};
  const parts: string[] = [];
  for (const field of fields) {
    const value = field.only ?? (typed[field.name] ?? "").trim();
    if (value === "") {
      if (field.isRequired) errors[field.name] = `Wanted: ${allowed(field)}.`;
      continue;
    }
    const json = jsonOf(field, value);
    if (json === null) errors[field.name] = `Allowed: ${allowed(field)}.`;
    else parts.push(`${JSON.stringify(field.name)}:${json}`);
  }
  return { body: `{${parts.join(",")}}`, errors };
}
