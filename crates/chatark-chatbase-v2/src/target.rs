//! Writes knowledge into Chatbase v2 as sources: questions with their answer, and texts. The API takes no history.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result, Settings};
use chatark_http::{Call, Connector, CursorGuard};
use chatark_target::{
    Capabilities, DataKind, FieldOutcome, HeldItem, KindLimits, LossReport, MigrationItem, OutboundItem,
    QuestionAnswer, Target, Text, Visitor,
};
use serde_json::{Value, json};

use crate::DESCRIPTOR;
use crate::config::RATE_LIMIT;
use crate::dialect::lacks_scope;
use crate::source::{ChatbaseV2, LIST_LIMIT, open_account};
use crate::wire::{NewSource, Pagination, Sources};

const CREATE: &str = "create a source";
const LIST: &str = "list sources";
/// The most questions with one answer, by the vendor's specification of autumn 2026.
const MAX_QUESTIONS: usize = 50;
/// The most characters of a name, by the same specification.
const NAME_CHARACTERS: usize = 100;
/// The most characters of a text, by the same specification.
const TEXT_CHARACTERS: usize = 1_048_576;
/// What precedes the external id in the name of a source of knowledge.
const ID_PREFIX: &str = " [chatark ";

/// What the vendor takes, by its specification and command line of autumn 2026.
const CAPABILITIES: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    kinds: &[KindLimits {
        kind: DataKind::Knowledge,
        items_per_request: 1,
        further_requests: 0,
        items_per_page: LIST_LIMIT as u64,
        unique_email: false,
        text_characters: Some(TEXT_CHARACTERS),
        field_rules: &[],
    }],
    rate_limit: Some(RATE_LIMIT),
    notes: &[
        "Chatbase takes no history: its chat call would answer again, cost credits and use today's date; conversations stay in the archive",
        "every source is trained immediately and counts towards the training size of your plan",
        "questions are what people wrote: review them first with `--to questions-csv`",
    ],
};

const SCOPE_HINT: &str = "give the key the scope to write sources, or create a key that has it";

/// Creates the target of one agent.
pub fn connect_target(settings: &Settings, connector: Connector) -> Result<Box<dyn Target>> {
    Ok(Box::new(open_account(settings, connector)?))
}

#[async_trait]
impl Target for ChatbaseV2 {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn pack(&self, item: MigrationItem<'_>, loss_report: &mut LossReport) -> Result<Option<OutboundItem>> {
        Ok(match item {
            MigrationItem::QuestionAnswer(answer) => Some(questions(answer, loss_report)),
            MigrationItem::Text(text) => Some(content(text)),
            MigrationItem::Conversation(_) | MigrationItem::Person(_) => None,
        })
    }

    async fn create(&self, kind: DataKind, items: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        let (DataKind::Knowledge, [item]) = (kind, items) else {
            return Err(Error::new(
                ErrorKind::Unexpected,
                CREATE,
                "knowledge is created one source at a time",
            ));
        };
        let call = Call::new(CREATE, ["agents", &self.agent_id, "sources"]).create(item.create_body.clone());
        match self.client.json::<NewSource>(&call).await {
            Err(error) if lacks_scope(&error) => Err(error.hint(SCOPE_HINT)),
            answer => Ok(vec![answer?.id()]),
        }
    }

    async fn wait_for_late_effects(&self, ago: Duration) -> Result<()> {
        self.client.wait_for_late_effects(LIST, ago).await
    }

    async fn visit_held(&self, _: DataKind, visitor: Visitor<'_>) -> Result<()> {
        let list = Call::new(LIST, ["agents", &self.agent_id, "sources"]).query("limit", LIST_LIMIT);
        let (mut call, mut guard) = (list.clone(), CursorGuard::default());
        loop {
            let page: Sources = match self.client.json(&call).await {
                Err(error) if lacks_scope(&error) => return Err(error.hint(SCOPE_HINT)),
                page => page?,
            };
            for source in &page.data {
                let external_id = source.name.as_deref().and_then(external_id_in).map(str::to_owned);
                visitor(&HeldItem { id: source.id.clone(), external_id, ..HeldItem::default() })?;
            }
            let Pagination { has_more, cursor, .. } = page.pagination;
            let next =
                self.client.next_cursor_of_whole_list(&call, has_more, cursor.as_deref(), &mut guard)?;
            let Some(cursor) = next else { return Ok(()) };
            call = list.clone().query("cursor", cursor);
        }
    }
}

fn questions(answer: &QuestionAnswer, loss_report: &mut LossReport) -> OutboundItem {
    let left_out = answer.questions.len().saturating_sub(MAX_QUESTIONS);
    let why = "the vendor takes 50 questions with one answer";
    loss_report.add_with_example("question", FieldOutcome::Lost, why, left_out, &answer.key);
    let asked = &answer.questions[..answer.questions.len() - left_out];
    let title = asked.first().map(String::as_str).unwrap_or_default();
    let body = json!({ "type": "qna", "name": name(title, &answer.key), "questions": asked, "answer": answer.answer });
    outbound(&answer.key, &body)
}

fn content(text: &Text) -> OutboundItem {
    let body = json!({ "type": "text", "name": name(&text.title, &text.key), "content": text.text });
    outbound(&text.key, &body)
}

fn outbound(key: &str, body: &Value) -> OutboundItem {
    OutboundItem {
        idempotency_key: key.to_owned(),
        previous_keys: Vec::new(),
        external_id: key.to_owned(),
        email: None,
        origin: None,
        messages: 0,
        create_body: body.to_string().into(),
        complete_body: Bytes::new(),
    }
}

/// Returns a name that ends with the external id.
fn name(title: &str, key: &str) -> String {
    let suffix = format!("{ID_PREFIX}{key}]");
    let room = NAME_CHARACTERS - suffix.chars().count();
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(room).collect();
    title + &suffix
}

/// Returns the external id at the end of a name.
fn external_id_in(name: &str) -> Option<&str> {
    name.rsplit_once(ID_PREFIX)?.1.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_ends_with_the_external_id() {
        for title in ["Where is my order?", &"ä".repeat(300), "", "two\nlines [chatark x]"] {
            let name = name(title, "0123456789abcdef");
            assert!(name.chars().count() <= NAME_CHARACTERS && !name.contains('\n'), "{name}");
            assert_eq!(external_id_in(&name), Some("0123456789abcdef"));
        }
        assert_eq!(external_id_in("Delivery"), None);
    }

    #[test]
    fn questions_over_the_limit_are_left_out_and_reported() {
        let questions_of = |count: usize| {
            let asked = (0..count).map(|number| format!("question {number}")).collect();
            let answer = QuestionAnswer { key: "k".to_owned(), questions: asked, answer: "yes".to_owned() };
            let mut loss_report = LossReport::default();
            let item = questions(&answer, &mut loss_report);
            let body: Value = serde_json::from_slice(&item.create_body).unwrap();
            (body["questions"].as_array().unwrap().len(), loss_report.rows().first().map(|row| row.count))
        };
        assert_eq!(questions_of(50), (50, None));
        assert_eq!(questions_of(53), (50, Some(3)));
    }
}
