/** What went wrong with a request, as RFC 9457 says it, or what can be said where no problem came. */

export interface FieldError {
  field: string;
  detail: string;
}

export class Problem extends Error {
  override name = "Problem";
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** What is wrong with which fields of the request. */
  readonly fields: FieldError[];
  readonly retryAfterS: number | null;
  readonly requestId: string | null;

  constructor(status: number, title: string, detail: string, rest: Partial<Pick<Problem, "fields" | "retryAfterS" | "requestId">> = {}) {
    super(`${title}: ${detail}`);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.fields = rest.fields ?? [];
    this.retryAfterS = rest.retryAfterS ?? null;
    this.requestId = rest.requestId ?? null;
  }

  /** In a sentence, for people. */
  get sentence(): string {
    const detail = this.detail === "" ? "" : `: ${this.detail}`;
    return `${this.title}${detail}${/[.!?]$/.test(this.detail) ? "" : "."}`;
  }
}

/** Makes a problem of an answer's body, whatever that is. */
export function problemOf(status: number, body: unknown): Problem {
  const of = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const title = text(of["title"]) || `The server answered ${status}`;
  const detail = text(of["detail"]);
  const fields: FieldError[] = [];
  if (typeof of["field"] === "string") {
    const allowed = text(of["allowed"]);
    fields.push({ field: of["field"], detail: detail.includes(allowed) ? detail : `${detail}; allowed: ${allowed}` });
  }
  if (Array.isArray(of["errors"])) {
    for (const error of of["errors"] as unknown[]) {
      if (typeof error !== "object" || error === null) continue;
      const { field, detail: wrong } = error as Record<string, unknown>;
      if (typeof field === "string" && !fields.some((known) => known.field === field)) fields.push({ field, detail: text(wrong) });
    }
  }
  const retry = of["retry_after_s"];
  return new Problem(status, title, detail, {
    fields,
    retryAfterS: typeof retry === "number" ? retry : null,
    requestId: typeof of["request_id"] === "string" ? of["request_id"] : null,
  });
}

/** What any error thrown by a request is for people. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "Something went wrong in this page", error instanceof Error ? error.message : String(error));
}
