// Numbers, dates and hours in words. Pure: the present is a parameter.

const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const general = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const dayMonth = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", timeZone: "UTC" });
const weekdayDate = new Intl.DateTimeFormat(LOCALE, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const fullDate = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

/** Monday first; `local_dow` 0 is Sunday. */
export const DOW_MONDAY_FIRST = [1, 2, 3, 4, 5, 6, 0] as const;
const DOW_NAMES = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;

export const dowName = (dow: number): string => DOW_NAMES[dow] ?? "?";
export const count = (n: number): string => whole.format(n);
export const mean = (value: number | null): string => (value === null ? "–" : tenth.format(value));
export const percent = (share: number): string => `${whole.format(share * 100)} %`;
export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;
export const hour = (h: number): string => `${String(((h % 24) + 24) % 24).padStart(2, "0")}:00`;
/** `22:00–23:00`; the last hour of a day ends at 24:00. */
export const hourSpan = (h: number): string => `${hour(h)}–${h === 23 ? "24:00" : hour(h + 1)}`;

export function scalar(value: unknown, unit: string | null = null): string {
  if (value === null || value === undefined) return "no value";
  const text = typeof value === "number" ? general.format(value) : typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
  return unit ? `${text} ${unit}` : text;
}

/** The wall clock of an instant as a UTC date: with the event's own offset, else with this browser's. */
export function wallClock(instant: Date, offsetMin: number | null): Date {
  return new Date(instant.getTime() + (offsetMin ?? -instant.getTimezoneOffset()) * 60_000);
}

/**
 * The offset of an event whose local date and hour are known: this browser's where it fits, else the whole
 * hour that fits; null when the row contradicts itself.
 */
export function offsetOf(iso: string, localDate: string | null, localHour: number | null): number | null {
  if (localDate === null || localHour === null) return null;
  const instant = new Date(iso);
  const low = (Date.parse(`${localDate}T${String(localHour).padStart(2, "0")}:00:00Z`) - instant.getTime()) / 60_000;
  if (!Number.isFinite(low) || Math.abs(low) > 24 * 60) return null;
  const mine = -instant.getTimezoneOffset();
  return mine >= low && mine < low + 60 ? mine : Math.ceil(low / 60) * 60;
}

/** `23:10` for today, `20 Nov, 23:10` for another day. */
export function eventTime(iso: string, offsetMin: number | null, now: Date): string {
  const instant = new Date(iso);
  if (Number.isNaN(instant.getTime())) return "time unknown";
  const wall = wallClock(instant, offsetMin);
  const today = wallClock(now, offsetMin);
  const time = clock.format(wall);
  if (wall.toISOString().slice(0, 10) === today.toISOString().slice(0, 10)) return time;
  return wall.getUTCFullYear() === today.getUTCFullYear() ? `${dayMonth.format(wall)}, ${time}` : `${fullDate.format(wall)}, ${time}`;
}

/** How late an event arrived, in words, when that is worth saying (over ten minutes); else null. */
export function lateness(eventIso: string, receivedIso: string | null): string | null {
  if (receivedIso === null) return null;
  const minutes = Math.round((Date.parse(receivedIso) - Date.parse(eventIso)) / 60_000);
  if (!Number.isFinite(minutes) || minutes <= 10) return null;
  if (minutes < 90) return `arrived ${minutes} min later`;
  if (minutes < 48 * 60) return `arrived ${Math.round(minutes / 60)} h later`;
  return `arrived ${count(Math.round(minutes / 1440))} days later`;
}

/** A local date (`2026-05-31`) as the UTC midnight that stands for it on an axis. */
export const dateOf = (localDate: string): Date => new Date(`${localDate}T00:00:00Z`);
export const shortDate = (date: Date): string => dayMonth.format(date);
export const longDate = (date: Date): string => weekdayDate.format(date);
export const yearDate = (date: Date): string => fullDate.format(date);

/** RFC 3339 with this browser's offset: `2026-05-31T23:10:00+02:00`. */
export function localIso(now: Date): { iso: string; offsetMin: number } {
  const offsetMin = -now.getTimezoneOffset();
  const sign = offsetMin < 0 ? "-" : "+";
  const two = (n: number): string => String(Math.floor(Math.abs(n))).padStart(2, "0");
  const wall = new Date(now.getTime() + offsetMin * 60_000).toISOString().slice(0, 19);
  return { iso: `${wall}${sign}${two(offsetMin / 60)}:${two(offsetMin % 60)}`, offsetMin };
}

/** What to add where rows without a known local time can't be drawn; empty when there are none. */
export function unplaced(n: number): string {
  return n === 0 ? "" : `${plural(n, "craving")} without a known time zone ${n === 1 ? "is" : "are"} not shown here.`;
}

export function periodName(days: number): string {
  return days === 365 ? "last year" : `last ${days} days`;
}

/** A label as the person wrote it, with a capital. */
export const title = (label: string): string => label.charAt(0).toUpperCase() + label.slice(1);
