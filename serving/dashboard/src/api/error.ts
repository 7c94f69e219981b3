// What went wrong with a request, in words a person can act on.

export class ApiError extends Error {
  /** `kind` is the server's error kind, or `network` and `timeout` when no answer came. */
  constructor(
    readonly kind: string,
    message: string,
    readonly status: number = 0,
    readonly field: string | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** The server's messages are lower case and without a full stop; on the page they are sentences. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === "") return "Something went wrong.";
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** Any thrown thing as an `ApiError`. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ApiError("timeout", "the server took too long to answer; try again");
  }
  return new ApiError("network", "the server can't be reached; check that it runs and try again");
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
