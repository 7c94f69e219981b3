//! What chat programs ask behind the person's back: a title, tags, follow-up questions. Pure.
//!
//! Such a prompt quotes the conversation and is none itself: it is answered at once, in the form it names, and nothing
//! of it is kept. The words are those of Open WebUI (`backend/open_webui/config.py`, `DEFAULT_*_PROMPT_TEMPLATE`) and
//! LibreChat (`titlePrompt`).

use serde_json::json;

use super::identity::{Speaker, Told};
use crate::screen;

/// Words of a title.
const TITLE_WORDS: usize = 5;
/// Title where none can be made.
const TITLE: &str = "Conversation";

/// A task that a program sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Title,
    Tags,
    FollowUps,
    /// Search queries, autocompletion, an emoji, and whatever else Open WebUI's form holds.
    Other,
}

/// The task of a request; `None` for what a person asks.
pub(super) fn task(messages: &[Told]) -> Option<Task> {
    let prompt = prompt(messages)?;
    let begin: String = prompt.chars().take(400).collect::<String>().to_lowercase();
    let begin = begin.trim_start();
    // Open WebUI: a form with headings; older ones and LibreChat: an order in the first sentence.
    let form = begin.starts_with("### task:") && prompt.matches("###").count() >= 2;
    let first = begin.split(['.', '\n']).next().unwrap_or_default();
    let orders = ["create", "generate", "provide", "write", "please generate", "detect user language"];
    let ordered = orders.iter().any(|order| first.starts_with(order));
    let about =
        prompt.contains("hat history") || begin.contains("conversation") || begin.contains("the prompt");
    if form {
        let order = begin.trim_start_matches("### task:").trim_start().split('\n').next().unwrap_or_default();
        return Some(match order {
            order if order.contains("title") => Task::Title,
            order if order.contains("tags") => Task::Tags,
            order if order.contains("follow-up") => Task::FollowUps,
            _ => Task::Other,
        });
    }
    if !(ordered && about) {
        return None;
    }
    let concise = ["concise", "word", "short"].iter().any(|word| first.contains(word));
    match first {
        first if first.contains("title") && concise => Some(Task::Title),
        first if first.contains("tags") && (first.contains("broad") || concise) => Some(Task::Tags),
        _ => None,
    }
}

/// The answer, in the form that the prompt names.
pub(super) fn answer(task: Task, messages: &[Told]) -> String {
    let prompt = prompt(messages).unwrap_or_default();
    let json = prompt.contains("JSON");
    match task {
        Task::Title if json => json!({ "title": title(prompt) }).to_string(),
        Task::Title => title(prompt),
        Task::Tags if json => json!({ "tags": ["Cravings"] }).to_string(),
        Task::Tags => "Cravings".to_owned(),
        Task::FollowUps => json!({ "follow_ups": [] }).to_string(),
        Task::Other if prompt.contains("queries") => json!({ "queries": [] }).to_string(),
        Task::Other if json => json!({ "text": "" }).to_string(),
        Task::Other => String::new(),
    }
}

/// The only message, instructions apart: programs send the conversation inside it.
fn prompt(messages: &[Told]) -> Option<&str> {
    let mut said = messages.iter().filter(|told| told.speaker != Speaker::System);
    match (said.next(), said.next()) {
        (Some(told), None) if told.speaker == Speaker::Person => Some(&told.text),
        (None, _) => messages.last().map(|told| told.text.as_str()),
        _ => None,
    }
}

/// The first words of the person; nothing of a crisis becomes a title.
fn title(prompt: &str) -> String {
    if screen(prompt).is_some() {
        return TITLE.to_owned();
    }
    let speakers = ["\nUSER: ", "\nUser: ", "\nuser: ", "\nHuman: "];
    let said = speakers.iter().find_map(|who| prompt.split_once(*who)?.1.lines().next()).unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().take(TITLE_WORDS).collect();
    let title: String = words.join(" ").chars().take(60).collect();
    let title = title.trim_matches(|c: char| !c.is_alphanumeric());
    if title.is_empty() { TITLE.to_owned() } else { title.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Vec<Told> {
        vec![Told { speaker: Speaker::Person, text: text.to_owned() }]
    }

    const CHAT: &str =
        "\n<chat_history>\nUSER: why do I crave sugar at night?\nASSISTANT: Because.\n</chat_history>";

    #[test]
    fn programs_are_told_from_people() {
        let webui = |order: &str, form: &str| {
            format!(
                "### Task:\n{order}\n### Guidelines:\n- be brief\n### Output:\nJSON format: {form}\n### Chat History:{CHAT}"
            )
        };
        let table = [
            (
                webui("Generate a concise, 3-5 word title with an emoji summarizing the chat history.", "{ \"title\": \"…\" }"),
                Some(Task::Title),
                r#"{"title":"why do I crave sugar"}"#,
            ),
            (
                webui("Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific subtopic tags.", "{ \"tags\": [] }"),
                Some(Task::Tags),
                r#"{"tags":["Cravings"]}"#,
            ),
            (
                webui("Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.", "{ \"follow_ups\": [] }"),
                Some(Task::FollowUps),
                r#"{"follow_ups":[]}"#,
            ),
            (
                webui("Analyze the chat history to determine the necessity of generating search queries.", "{ \"queries\": [] }"),
                Some(Task::Other),
                r#"{"queries":[]}"#,
            ),
            (
                format!("Create a concise, 3-5 word title with an emoji as a title for the chat history, in the given language.{CHAT}"),
                Some(Task::Title),
                "why do I crave sugar",
            ),
            (
                "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.\n\nConversation:\nUser: why?\nAI: because".to_owned(),
                Some(Task::Title),
                "why",
            ),
            (
                webui("Generate a concise title.", "{}").replace("why do I crave sugar at night?", "I want to kill myself"),
                Some(Task::Title),
                r#"{"title":"Conversation"}"#,
            ),
            ("Why do I crave sugar at night?".to_owned(), None, ""),
            ("Write a short note about my conversation with Nora.".to_owned(), None, ""),
            ("Create a plan for the evening".to_owned(), None, ""),
            ("### Task: eat less sugar".to_owned(), None, ""),
            ("I could not think of a concise title for my diary".to_owned(), None, ""),
            (String::new(), None, ""),
        ];
        for (prompt, expected, text) in table {
            let messages = one(&prompt);
            let found = task(&messages);
            assert_eq!(found, expected, "{prompt}");
            if let Some(found) = found {
                assert_eq!(answer(found, &messages), text, "{prompt}");
            }
        }
    }

    #[test]
    fn within_a_conversation_only_people_ask() {
        let mut messages = one("hello");
        messages.push(Told { speaker: Speaker::Assistant, text: "hi".into() });
        messages.extend(one("### Task:\nGenerate a title\n### Chat History:\n"));
        assert_eq!(task(&messages), None);
    }
}
