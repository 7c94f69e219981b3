//! Every call, in the order of the router.

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What it does, in a line.
    pub(super) says: &'static str,
    /// Fields of the query: `name:kind`, `?` where one may be left out.
    pub(super) query: &'static str,
    /// Shape of the body; empty for none.
    pub(super) body: &'static str,
    /// Status and shape of a good answer.
    pub(super) answer: (&'static str, &'static str),
    /// Statuses of refusals, beside 401 and 500.
    pub(super) errors: &'static str,
    /// Whether it needs no token.
    pub(super) open: bool,
}

const fn call(
    method: &'static str,
    path: &'static str,
    says: &'static str,
    body: &'static str,
    answer: (&'static str, &'static str),
    errors: &'static str,
) -> Call {
    Call { method, path, says, query: "", body, answer, errors, open: false }
}

impl Call {
    const fn open(self) -> Self {
        Self { open: true, ..self }
    }

    const fn asked(self, query: &'static str) -> Self {
        Self { query, ..self }
    }
}

const PERIOD: &str = "days:int? craving:str? tz_offset_min:int?";

#[rustfmt::skip]
pub(super) const CALLS: &[Call] = &[
    call("get", "/health/live", "whether the process lives", "", ("200", "text/plain"), "").open(),
    call("get", "/health/ready", "whether it can serve, and what it waits for", "", ("200", "any"), "503").open(),
    call("get", "/metrics", "metrics for Prometheus", "", ("200", "text/plain"), "").open(),
    call("post", "/v1/events", "send one event, an array, or one a line (application/x-ndjson); answered when durable", "Event", ("200", "Report"), "400 413 429 503"),
    call("get", "/v1/events/{id}", "where an event is on its way", "", ("200", "EventStatus"), "400 404"),
    call("get", "/", "the page", "", ("200", "text/html"), "404").open(),
    call("get", "/icon.svg", "the page's icon", "", ("200", "image/svg+xml"), "404").open(),
    call("get", "/assets/{name}", "a file of the page", "", ("200", "application/octet-stream"), "404").open(),
    call("get", "/v1/openapi.json", "this document", "", ("200", "obj"), "").open(),
    call("get", "/v1/me", "whom the token stands for", "", ("200", "Me"), ""),
    call("delete", "/v1/me", "leave nothing of the caller, for good; the body must name them", "Confirmation", ("202", "ErasureAsked"), "400 503"),
    call("get", "/v1/erasures/{id}", "how far an erasure is, and its receipt; its id is all that is asked for", "", ("200", "Erasure"), "404 503").open(),
    call("get", "/v1/feed", "the caller's events as they are admitted, as server-sent events", "", ("200", "text/event-stream"), "429"),
    call("post", "/v1/sql", "a read-only query over the caller's own rows", "Sql", ("200", "[obj]"), "400 429 503"),
    call("get", "/v1/cravings", "cravings as they stand, newest first", "", ("200", "Cravings"), "400").asked("from:time? to:time? craving:str? limit:int? cursor:str?"),
    call("get", "/v1/cravings/{id}", "one craving", "", ("200", "Craving"), "400 404"),
    call("patch", "/v1/cravings/{id}", "correct a craving: a field that is absent stays, one that is null goes; `revision` or If-Match guards against another change", "CravingChange", ("200", "Changed"), "400 404 409 429 503"),
    call("delete", "/v1/cravings/{id}", "take a craving back with its corrections", "", ("200", "Changed"), "400 404 429 503"),
    call("get", "/v1/analytics/summary", "totals of a period and of the one before", "", ("200", "Summary"), "400").asked(PERIOD),
    call("get", "/v1/analytics/patterns", "weekday by hour, triggers, places", "", ("200", "Patterns"), "400").asked(PERIOD),
    call("get", "/v1/analytics/time-of-day", "by hour and part of the day", "", ("200", "TimeOfDay"), "400").asked(PERIOD),
    call("get", "/v1/analytics/intensity", "strength by day, and heart rate variability", "", ("200", "IntensityDays"), "400").asked(PERIOD),
    call("get", "/v1/analytics/emotions", "what notes and journals say was felt, by part of the day", "", ("200", "Emotions"), "400").asked("days:int?"),
    call("post", "/v1/insights", "a question about one's own log; whole, or by sentence (Accept: text/event-stream)", "Question", ("200", "Answer"), "400 429 503"),
    call("get", "/v1/citations/{id}", "what a number of an answer rests on, as it was and as it is", "", ("200", "Detail"), "400 404"),
    call("get", "/v1/answers/{id}/feedback", "what the caller thinks of an answer", "", ("200", "Feedback"), "400 404"),
    call("put", "/v1/answers/{id}/feedback", "say what one thinks of an answer; it replaces what was said before", "Feedback", ("200", "Feedback"), "400 404"),
    call("delete", "/v1/answers/{id}/feedback", "take that back", "", ("204", ""), "400 404"),
    call("get", "/v1/consent", "what the caller allows", "", ("200", "Consent"), ""),
    call("put", "/v1/consent", "say what one allows; it holds from now on", "Consent", ("200", "Consent"), "400"),
    call("post", "/v1/chat/completions", "OpenAI's chat completions over the caller's own conversations; whole, or as server-sent events", "ChatRequest", ("200", "ChatCompletion"), "400 404 413 429 503"),
    call("get", "/v1/models", "what may be asked, as OpenAI lists models", "", ("200", "ChatModels"), ""),
    call("get", "/v1/models/{id}", "one of them", "", ("200", "ChatModel"), "404"),
    call("get", "/v1/conversations", "the caller's conversations, the newest first", "", ("200", "Conversations"), ""),
    call("post", "/v1/conversations", "begin a conversation", "", ("201", "Conversation"), "400"),
    call("get", "/v1/conversations/{id}", "one conversation", "", ("200", "Conversation"), "400 404"),
    call("delete", "/v1/conversations/{id}", "delete a conversation with all that is remembered of it", "", ("204", ""), "400 404"),
    call("get", "/v1/conversations/{id}/messages", "its turns", "", ("200", "Turns"), "400 404").asked("before:int? limit:int?"),
    call("post", "/v1/conversations/{id}/messages", "say something in it", "Message", ("200", "Reply"), "400 404 429 503"),
    call("get", "/v1/memories", "what is remembered of the caller", "", ("200", "Memories"), "400 503").asked("from:uuid? limit:int?"),
    call("get", "/v1/memories/export", "all of it, one JSON object a line", "", ("200", "application/x-ndjson"), "503"),
    call("get", "/v1/memories/{id}", "one memory", "", ("200", "Memory"), "400 404 503"),
    call("patch", "/v1/memories/{id}", "correct the text of one", "Correction", ("200", "Memory"), "400 404 503"),
    call("delete", "/v1/memories/{id}", "delete one for good, with all that was made from it", "", ("204", ""), "400 404 503"),
    call("get", "/v1/documents", "what the caller uploaded", "", ("200", "Documents"), "503"),
    call("post", "/v1/documents", "upload a document to be remembered: text, Markdown, PDF, a chat's export", "application/octet-stream", ("201", "Document"), "400 409 413 503").asked("name:str date:time?"),
    call("get", "/v1/documents/{id}", "one document", "", ("200", "Document"), "400 404 503"),
    call("delete", "/v1/documents/{id}", "delete a document and its passages", "", ("204", ""), "400 404 503"),
    call("get", "/v1/documents/{id}/original", "the file as it was uploaded", "", ("200", "application/octet-stream"), "400 404 503"),
    call("get", "/v1/documents/{id}/text", "a span of its text, in bytes, as a citation names it", "", ("200", "Span"), "400 404 503").asked("from:int? to:int?"),
    call("get", "/v1/persona", "who the caller is as a craver, with the evidence, or `unknown`", "", ("200", "Persona"), ""),
    call("post", "/v1/persona/correction", "what the caller says they are instead; it wins", "PersonaCorrection", ("200", "Persona"), "400"),
    call("get", "/v1/profile", "goals, time zone, tone, rapport", "", ("200", "ProfileNow"), ""),
    call("put", "/v1/profile", "choose them", "Profile", ("200", "ProfileNow"), "400"),
];
