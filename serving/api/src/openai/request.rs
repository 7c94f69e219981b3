//! A chat request as clients send it, made into what is served of it.

use crave_lora::{Message, Sampling};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Form, OpenAiError};

/// Turns of a conversation.
const MESSAGES_MAX: usize = 1_024;
/// Characters of a model's name and of `user`.
const NAME_CHARS_MAX: usize = 256;

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChatRequest {
    /// Which model or adapter is asked.
    pub(crate) model: String,
    /// The conversation; content in parts is joined.
    pub(crate) messages: Vec<Message>,
    /// Whole, or as events.
    pub(crate) form: Form,
    /// Tokens of the answer at most (`max_completion_tokens`, else `max_tokens`).
    pub(crate) max_tokens: Option<usize>,
    /// Texts that end the answer.
    pub(crate) stop: Vec<String>,
    /// How tokens are drawn; not yet checked against its bounds.
    pub(crate) sampling: Sampling,
    /// Whether the client chose the seed in `sampling`.
    pub(crate) seeded: bool,
    /// Whom the caller asks for, in its own words.
    pub(crate) user: Option<String>,
    /// What the client wants kept beside the answer.
    pub(crate) metadata: Map<String, Value>,
}

/// Every field may be null, and any other may be there.
#[derive(Deserialize)]
struct Raw {
    model: Option<String>,
    messages: Option<Vec<RawMessage>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    n: Option<u64>,
    stop: Option<OneOrMany>,
    seed: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    // Not OpenAI's, but llama.cpp's and vLLM's; −1 and 0 keep all.
    top_k: Option<i64>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<Map<String, Value>>,
    logprobs: Option<bool>,
    response_format: Option<ResponseFormat>,
    user: Option<String>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct RawMessage {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "content must be a text or an array of parts")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "stop must be a text or an array of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ResponseFormat {
    r#type: String,
}

impl ChatRequest {
    /// Reads a body. Unknown fields are ignored; a known one that would change the answer and is not served is refused.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, OpenAiError> {
        let raw: Raw = serde_json::from_slice(body).map_err(|error| {
            OpenAiError::malformed(format!("the body is no chat completion request: {error}"))
        })?;
        refuse(&raw)?;
        let model = raw.model.filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| {
            OpenAiError::invalid("model", "model is missing; GET /v1/models lists what can be asked")
        })?;
        short("model", &model)?;
        let user = raw.user.filter(|user| !user.is_empty());
        user.iter().try_for_each(|user| short("user", user))?;
        let messages = raw.messages.unwrap_or_default();
        if messages.is_empty() || messages.len() > MESSAGES_MAX {
            return Err(OpenAiError::invalid(
                "messages",
                format!("messages must hold 1 to {MESSAGES_MAX} turns"),
            ));
        }
        let messages = messages.into_iter().map(message).collect::<Result<_, _>>()?;
        let include_usage = raw.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        let (max_param, max_tokens) = match raw.max_completion_tokens {
            Some(tokens) => ("max_completion_tokens", Some(tokens)),
            None => ("max_tokens", raw.max_tokens),
        };
        if max_tokens == Some(0) {
            return Err(OpenAiError::invalid(max_param, format!("{max_param} must be at least 1")));
        }
        let plain = Sampling::default();
        Ok(Self {
            model,
            messages,
            form: match raw.stream {
                Some(true) => Form::Events { include_usage },
                _ => Form::Whole,
            },
            max_tokens: max_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)),
            stop: match raw.stop {
                None => Vec::new(),
                Some(OneOrMany::One(stop)) => vec![stop],
                Some(OneOrMany::Many(stops)) => stops,
            },
            sampling: Sampling {
                temperature: raw.temperature.unwrap_or(plain.temperature),
                top_p: raw.top_p.unwrap_or(plain.top_p),
                top_k: raw.top_k.map_or(plain.top_k, |k| usize::try_from(k).unwrap_or(0)),
                min_p: raw.min_p.unwrap_or(plain.min_p),
                repetition_penalty: raw.repetition_penalty.unwrap_or(plain.repetition_penalty),
                presence_penalty: raw.presence_penalty.unwrap_or(plain.presence_penalty),
                frequency_penalty: raw.frequency_penalty.unwrap_or(plain.frequency_penalty),
                seed: raw.seed.map_or(plain.seed, i64::cast_unsigned),
            },
            seeded: raw.seed.is_some(),
            user,
            metadata: raw.metadata.unwrap_or_default(),
        })
    }
}

/// An answer that is not what was asked for is worse than none.
fn refuse(raw: &Raw) -> Result<(), OpenAiError> {
    let refused = |param: &'static str, why: &str| Err(OpenAiError::invalid(param, why));
    if raw.n.is_some_and(|n| n != 1) {
        return refused("n", "n must be 1: one answer is given a request");
    }
    if raw.logprobs == Some(true) {
        return refused("logprobs", "logprobs are not served; leave the field out");
    }
    if raw.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()) {
        return refused("logit_bias", "logit_bias is not served; leave the field out");
    }
    if raw.response_format.as_ref().is_some_and(|format| format.r#type != "text") {
        return refused("response_format", "response_format must be text; nothing else is served");
    }
    Ok(())
}

fn short(param: &'static str, text: &str) -> Result<(), OpenAiError> {
    match text.chars().nth(NAME_CHARS_MAX) {
        Some(_) => {
            Err(OpenAiError::invalid(param, format!("{param} may have at most {NAME_CHARS_MAX} characters")))
        }
        None => Ok(()),
    }
}

fn message(raw: RawMessage) -> Result<Message, OpenAiError> {
    let role = match raw.role.as_str() {
        "system" | "user" | "assistant" => raw.role,
        // What newer clients call it.
        "developer" => "system".to_owned(),
        _ => {
            let why =
                "the role of a message must be system, developer, user or assistant; tools are not served";
            return Err(OpenAiError::invalid("messages", why));
        }
    };
    let content = match raw.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let texts = parts.into_iter().map(|part| match (part.r#type.as_str(), part.text) {
                ("text", Some(text)) => Ok(text),
                _ => Err(OpenAiError::invalid("messages", "a part of a message must be a text")),
            });
            texts.collect::<Result<Vec<_>, _>>()?.join("\n")
        }
    };
    Ok(Message { role, content })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<ChatRequest, Value> {
        ChatRequest::parse(body.to_string().as_bytes()).map_err(|error| error.body()["error"].clone())
    }

    /// Bodies as Open WebUI, LibreChat and SillyTavern send them.
    #[test]
    fn what_chat_programs_send_is_taken() {
        let webui = json!({
            "model": "base", "stream": true, "stream_options": { "include_usage": true },
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }],
            "session_id": "x", "chat_id": null, "background_tasks": { "title_generation": true },
        });
        let request = parse(&webui).unwrap();
        assert_eq!(request.messages, [Message { role: "user".into(), content: "a\nb".into() }]);
        assert_eq!(request.form, Form::Events { include_usage: true });
        assert!(!request.seeded);

        let libre = json!({
            "model": "base", "user": "65f0", "stream": true, "presence_penalty": 0, "frequency_penalty": 0.5,
            "top_p": 1, "temperature": 0.7, "max_completion_tokens": 7, "max_tokens": 9, "stop": ["x", "y"],
            "messages": [{ "role": "developer", "content": "s" }, { "role": "assistant", "content": null }],
        });
        let request = parse(&libre).unwrap();
        assert_eq!((request.user.as_deref(), request.max_tokens), (Some("65f0"), Some(7)));
        assert_eq!((request.stop.len(), request.messages[0].role.as_str()), (2, "system"));
        assert_eq!((request.sampling.frequency_penalty, request.messages[1].content.as_str()), (0.5, ""));

        let tavern = json!({
            "model": "base", "seed": -1, "top_k": -1, "min_p": 0.1, "logit_bias": {}, "n": 1, "stop": "END",
            "repetition_penalty": 1.1, "messages": [{ "role": "system", "content": "a", "name": "x" }],
            "tools": null, "response_format": { "type": "text" }, "metadata": { "conversation": "7" },
        });
        let request = parse(&tavern).unwrap();
        assert_eq!((request.sampling.seed, request.sampling.top_k, request.seeded), (u64::MAX, 0, true));
        assert_eq!(request.metadata["conversation"], "7");
    }

    #[test]
    fn what_is_not_served_is_named() {
        for (change, param) in [
            (json!({ "n": 2 }), json!("n")),
            (json!({ "model": null }), json!("model")),
            (json!({ "model": "m".repeat(300) }), json!("model")),
            (json!({ "messages": [] }), json!("messages")),
            (json!({ "messages": [{ "role": "tool", "content": "x" }] }), json!("messages")),
            (
                json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
                json!("messages"),
            ),
            (json!({ "messages": [{ "role": "user", "content": 7 }] }), Value::Null),
            (json!({ "logit_bias": { "7": 5 } }), json!("logit_bias")),
            (json!({ "logprobs": true }), json!("logprobs")),
            (json!({ "response_format": { "type": "json_object" } }), json!("response_format")),
            (json!({ "max_tokens": 0 }), json!("max_tokens")),
            (json!({ "max_completion_tokens": 0 }), json!("max_completion_tokens")),
            (json!({ "max_tokens": -5 }), Value::Null),
            (json!({ "temperature": "hot" }), Value::Null),
        ] {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = parse(&body).unwrap_err();
            assert_eq!(
                (&error["param"], &error["type"]),
                (&param, &json!("invalid_request_error")),
                "{change}"
            );
        }
        assert!(ChatRequest::parse(b"{\"model\":").is_err());
        assert!(ChatRequest::parse(&[0xff]).is_err());
    }

    proptest! {
        /// Any value in any field is taken or refused in OpenAI's shape; a request that is taken can be served.
        #[test]
        fn any_value_is_taken_or_refused(
            field in "(model|messages|stream|stream_options|max_tokens|max_completion_tokens|n|stop|seed|temperature|top_k|logit_bias|response_format|user|metadata|other)",
            value in r#"(-?(0|[1-9][0-9]{0,19})|[1-9]e-?[0-9]{1,2}|true|null|"[a-z]{0,3}"|\[("x",)?null\]|\{("(type|include_usage)":("text"|true|7))?\}|\[\{"role":"(user|tool)"(,"content":("x"|7|null|\[\]))?\}\])"#,
        ) {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
            body[&field] = serde_json::from_str(&value).unwrap();
            crate::fuzz::chat_request(body.to_string().as_bytes());
        }
    }
}
