//! Chat templates as Hugging Face writes them: Jinja, from `tokenizer_config.json` or `chat_template.jinja`.

use std::path::Path;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Steps that rendering may take; a template of a few hundred messages needs some ten thousand.
const FUEL: u64 = 5_000_000;
const NAME: &str = "chat";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

#[derive(Deserialize)]
struct Raw {
    chat_template: Option<Templates>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

impl Token {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Added { content: text } => text,
        }
    }
}

impl ChatTemplate {
    /// Reads the template of `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] when `tokenizer_config.json` is not there, [`Error::Model`] when there is no template or it cannot be
    /// parsed.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer_config.json");
        let bytes = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        let broken = |why: String| Error::model(dir, why);
        let raw: Raw = serde_json::from_slice(&bytes)
            .map_err(|error| broken(format!("tokenizer_config.json: {error}")))?;
        let own = match raw.chat_template {
            Some(Templates::One(template)) => Some(template),
            Some(Templates::Named(all)) => {
                all.into_iter().find(|named| named.name == "default").map(|named| named.template)
            }
            None => None,
        };
        let source = std::fs::read_to_string(dir.join("chat_template.jinja")).ok().or(own);
        let source =
            source.ok_or_else(|| broken("it has no chat template; serve an instruct model".to_owned()))?;
        let token = |token: Option<Token>| token.map(Token::into_text).unwrap_or_default();
        Self::new(source, token(raw.bos_token), token(raw.eos_token))
            .map_err(|error| broken(format!("chat template: {error:#}")))
    }

    fn new(source: String, bos: String, eos: String) -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        // As transformers sets its Jinja up.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |why: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
        });
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, source)?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt of a conversation, up to where the assistant speaks. `now` is what `strftime_now` tells.
    ///
    /// # Errors
    /// [`Error::Template`] with the template's own words, such as that roles must alternate.
    pub fn render(&self, messages: &[Message], now: DateTime<Utc>) -> Result<String> {
        let refused = |error: minijinja::Error| Error::Template(error.to_string());
        let strftime = move |format: String| match StrftimeItems::new(&format).any(|item| item == Item::Error)
        {
            true => {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("no time format: {format}")))
            }
            false => Ok(now.format(&format).to_string()),
        };
        let messages: Value = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let template = self.environment.get_template(NAME).map_err(refused)?;
        template
            .render(context! {
                messages,
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                strftime_now => Value::from_function(strftime),
            })
            .map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, turns: &[(&str, &str)]) -> Result<String> {
        let template = ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap();
        let messages: Vec<Message> = turns
            .iter()
            .map(|(role, content)| Message { role: (*role).to_owned(), content: (*content).to_owned() })
            .collect();
        template.render(&messages, DateTime::UNIX_EPOCH)
    }

    /// Shapes of the templates of Llama 3, Qwen2.5 and Mistral.
    #[test]
    fn families() {
        let llama = "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        \
            {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- endif %}\n{%- endif %}\nToday: {{ date_string }}\n\
            {%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + \
            message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    \
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n{%- endif %}";
        assert_eq!(
            render(llama, &[("user", " hi ")]).unwrap(),
            "<s>Today: 01 Jan 1970<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n"
        );
        let mistral = "{%- if messages[0]['role'] == 'system' %}{%- set loop_messages = messages[1:] %}\
            {%- else %}{%- set loop_messages = messages %}{%- endif %}{{ bos_token }}\
            {%- for message in loop_messages %}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
            {{ raise_exception('roles must alternate') }}{%- endif %}\
            {%- if message['role'] == 'user' %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}\
            {%- else %}{{ ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}";
        let turns = [("system", "x"), ("user", "a "), ("assistant", "b"), ("user", "c")];
        assert_eq!(render(mistral, &turns).unwrap(), "<s>[INST] a [/INST] b</s>[INST] c [/INST]");
        let error = render(mistral, &[("user", "a"), ("user", "b")]).unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }

    #[test]
    fn a_template_cannot_run_for_ever_or_panic() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        render(endless, &[]).unwrap_err();
        render("{{ strftime_now('%Q %') }}", &[]).unwrap_err();
        render("{{ messages[0].content.nothing() }}", &[("user", "a")]).unwrap_err();
    }

    #[test]
    fn content_is_data_not_template() {
        let out =
            render("{% for m in messages %}{{ m.content }}{% endfor %}", &[("user", "{{ bos_token }}<b>")]);
        assert_eq!(out.unwrap(), "{{ bos_token }}<b>");
    }
}
