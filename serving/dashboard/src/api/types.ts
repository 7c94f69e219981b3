// The JSON contract with the server, as the page uses it. Times are RFC 3339 in UTC.

export interface Me {
  user_id: string;
}

export interface Period {
  n: number;
  mean_intensity: number | null;
}

export interface CravingCount extends Period {
  craving: string;
  resisted: number;
}

export interface Summary extends Period {
  days: number;
  as_of: string;
  resisted: number;
  /** How many cravings say whether they were resisted. */
  answered: number;
  previous: Period;
  by_craving: CravingCount[];
  today: Period & { local_date: string };
}

export interface HeatCell extends Period {
  /** 0 = Sunday; null, like every `local_…`, where the event's offset is unknown. */
  local_dow: number | null;
  local_hour: number | null;
}

export interface Patterns {
  heatmap: HeatCell[];
  triggers: (Period & { trigger: string })[];
  places: (Period & { place: string })[];
}

export interface TimeOfDay {
  hours: (Period & { local_hour: number | null })[];
  day_parts: (Period & { day_part: string })[];
}

export interface IntensityDay extends Period {
  local_date: string | null;
  craving: string;
  max_intensity: number | null;
}

/** SDNN and RMSSD are different measures: they are never drawn as one. */
export type HrvKind = "hrv_sdnn_ms" | "hrv_rmssd_ms";

export interface Hrv {
  event_time: string;
  kind: HrvKind;
  value: number;
}

export interface Intensity {
  days: IntensityDay[];
  hrv: Hrv[];
}

export interface CravingRow {
  event_id: string;
  event_time: string;
  local_date: string | null;
  local_hour: number | null;
  craving: string;
  intensity: number;
  trigger: string | null;
  place: string | null;
  mood: string | null;
  company: string | null;
  note: string | null;
  resisted: boolean | null;
}

export interface CravingPage {
  items: CravingRow[];
  next_cursor: string | null;
}

export interface FeedEvent {
  event_id: string;
  kind: string;
  event_time: string;
  received_at: string | null;
  tz_offset_min: number | null;
  payload: Record<string, unknown>;
}

export interface WireCraving {
  event_id: string;
  source: "api";
  app_version: string;
  kind: "craving";
  event_time: string;
  tz_offset_min: number;
  tz?: string;
  payload: {
    craving: string;
    intensity: number;
    trigger?: string;
    note?: string;
    resisted?: boolean;
  };
}

export interface EventResult {
  event_id: string;
  status: "accepted" | "duplicate" | "refused";
  code?: string;
  field?: string;
  reason?: string;
}

export interface EventReply {
  accepted: number;
  duplicate: number;
  refused: number;
  results: EventResult[];
}

export type Scalar = number | string | boolean | null;

export interface Citation {
  id: string;
  label: string;
  value: Scalar;
  unit: string | null;
  period: string | null;
}

export interface Sentence {
  text: string;
  citations: string[];
}

export interface Insight {
  /** By which it can be judged; absent where the server keeps no answers. */
  id?: string;
  status: "answered" | "not_enough_data" | "crisis" | "out_of_scope" | "proposed" | "logged";
  sentences: Sentence[];
  citations: Citation[];
  disclaimer: string;
  resources?: { name: string; contact: string }[];
  /** An event that is logged once the person says yes. */
  proposal?: { id: string };
}

export interface Reply {
  turn: number;
  answer: Insight;
}

export type Thumb = "up" | "down";

export interface CitationDetail extends Citation {
  query: string | null;
  as_of: string | null;
  table_version: number | null;
  value_now: Scalar;
  changed: boolean;
  rows: { event_id: string; event_time: string; text: string }[];
}
