// Reads `text/event-stream` from text chunks, cut anywhere. Pure: bytes in, messages out.

export interface SseMessage {
  event: string;
  data: string;
}

/** Longest unfinished message; a longer one is a fault of the stream, not a reason to fill the memory. */
const PENDING_CHARS_MAX = 1_000_000;

export class SseParser {
  private pending = "";
  private event = "";
  private data: string[] = [];

  /** Takes the next chunk; returns the messages it completes. Comments and unknown fields are skipped. */
  push(chunk: string): SseMessage[] {
    let text = this.pending + chunk;
    // A trailing CR may be half of CRLF: it waits for the next chunk.
    const held = text.endsWith("\r") ? "\r" : "";
    if (held) text = text.slice(0, -1);
    const lines = text.split(/\r\n|\r|\n/);
    this.pending = (lines.pop() ?? "") + held;
    if (this.pending.length > PENDING_CHARS_MAX) throw new RangeError("a line of the feed is too long");
    return lines.flatMap((line) => this.line(line) ?? []);
  }

  private line(line: string): SseMessage | null {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    return null;
  }

  private dispatch(): SseMessage | null {
    const message = this.data.length > 0 ? { event: this.event || "message", data: this.data.join("\n") } : null;
    this.event = "";
    this.data = [];
    return message;
  }
}
