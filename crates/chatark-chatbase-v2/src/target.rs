//! Writes knowledge into Chatbase v2 as sources: questions with their answer, and texts. History has no way in.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatark_core::{
    Answer, Capabilities, DataKind, Error, ErrorKind, FieldOutcome, Found, KindLimits, LossReport,
    MigrationItem, OutboundItem, Result, Settings, Target, Text, Visitor,
};
use chatark_http::{Call, Connector, CursorGuard};
use serde_json::{Value, json};

use crate::DESCRIPTOR;
use crate::dialect::lacks_scope;
use crate::source::{ChatbaseV2, LIST_LIMIT, PACE, open_account};
use crate::wire::{NewSource, Pagination, Sources};

const CREATE: &str = "create a source";
const LIST: &str = "list sources";
/// The most questions of one answer, by the vendor's specification of autumn 2026.
const MOST_QUESTIONS: usize = 50;
/// The most characters of a name, by the same.
const NAME_CHARACTERS: usize = 100;
/// The most characters of a text, by the same.
const TEXT_CHARACTERS: usize = 1_048_576;
/// How the end of a name begins by which a source is found again.
const SIGN: &str = " [chatark ";

/// What the vendor takes, by its specification and command line of autumn 2026.
const TERMS: Capabilities = Capabilities {
    title: DESCRIPTOR.title,
    takings: &[KindLimits {
        cargo: DataKind::Knowledge,
        at_once: 1,
        requests_each: 0,
        listed_at_once: LIST_LIMIT as u64,
        unique_email: false,
        text_characters: Some(TEXT_CHARACTERS),
        rules: &[],
    }],
    pace: Some(PACE),
    notes: &[
        "Chatbase takes no history: chat would answer anew, at a cost, with today's date; conversations stay in the archive",
        "every source is trained at once, and counts against the size of training that the plan allows",
        "questions are what people wrote: read them first with `--to questions-csv`",
    ],
};

const SCOPE: &str = "give the key a scope that may write sources, or make a key that has it";

/// Creates the target of one agent.
pub fn connect_target(settings: &Settings, connector: Connector) -> Result<Box<dyn Target>> {
    Ok(Box::new(open_account(settings, connector)?))
}

#[async_trait]
impl Target for ChatbaseV2 {
    fn terms(&self) -> &'static Capabilities {
        &TERMS
    }

    fn pack(&self, load: MigrationItem<'_>, losses: &mut LossReport) -> Result<Option<OutboundItem>> {
        Ok(match load {
            MigrationItem::Answer(answer) => Some(questions(answer, losses)),
            MigrationItem::Text(text) => Some(content(text)),
            MigrationItem::Conversation(_) | MigrationItem::Person(_) => None,
        })
    }

    async fn create(&self, cargo: DataKind, parcels: &[OutboundItem]) -> Result<Vec<Option<String>>> {
        let (DataKind::Knowledge, [parcel]) = (cargo, parcels) else {
            return Err(Error::new(ErrorKind::Unexpected, CREATE, "this is not taken in this form"));
        };
        let call = Call::new(CREATE, ["agents", &self.agent_id, "sources"]).adding(parcel.creation.clone());
        match self.client.json::<NewSource>(&call).await {
            Err(error) if lacks_scope(&error) => Err(error.hint(SCOPE)),
            answer => Ok(vec![answer?.id()]),
        }
    }

    async fn settle(&self, ago: Duration) -> Result<()> {
        self.client.settle(LIST, ago).await
    }

    async fn each_held(&self, _: DataKind, look: Visitor<'_>) -> Result<()> {
        let list = Call::new(LIST, ["agents", &self.agent_id, "sources"]).query("limit", LIST_LIMIT);
        let (mut call, mut guard) = (list.clone(), CursorGuard::default());
        loop {
            let page: Sources = match self.client.json(&call).await {
                Err(error) if lacks_scope(&error) => return Err(error.hint(SCOPE)),
                page => page?,
            };
            for source in &page.data {
                let sign = source.name.as_deref().and_then(signed).map(str::to_owned);
                look(&Found { id: source.id.clone(), sign, ..Found::default() })?;
            }
            let Pagination { has_more, cursor, .. } = page.pagination;
            let next = self.client.next_cursor(&call, has_more, cursor.as_deref(), &mut guard, None)?;
            let Some(cursor) = next else { return Ok(()) };
            call = list.clone().query("cursor", cursor);
        }
    }
}

fn questions(answer: &Answer, losses: &mut LossReport) -> OutboundItem {
    let left_out = answer.questions.len().saturating_sub(MOST_QUESTIONS);
    let why = "the vendor takes 50 questions with an answer";
    losses.note_of("question", FieldOutcome::Lost, why, left_out, &answer.key);
    let asked = &answer.questions[..answer.questions.len() - left_out];
    let title = asked.first().map(String::as_str).unwrap_or_default();
    let body = json!({ "type": "qna", "name": name(title, &answer.key), "questions": asked, "answer": answer.answer });
    parcel(&answer.key, &body)
}

fn content(text: &Text) -> OutboundItem {
    let body = json!({ "type": "text", "name": name(&text.title, &text.key), "content": text.text });
    parcel(&text.key, &body)
}

fn parcel(key: &str, body: &Value) -> OutboundItem {
    OutboundItem {
        mark: key.to_owned(),
        former_marks: Vec::new(),
        sign: key.to_owned(),
        email: None,
        origin: None,
        messages: 0,
        creation: body.to_string().into(),
        completion: Bytes::new(),
    }
}

/// Returns a name that ends in what it is found again by.
fn name(title: &str, key: &str) -> String {
    let end = format!("{SIGN}{key}]");
    let room = NAME_CHARACTERS - end.chars().count();
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(room).collect();
    title + &end
}

/// Finds again what a name of ours ends in.
fn signed(name: &str) -> Option<&str> {
    name.rsplit_once(SIGN)?.1.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_is_found_again() {
        for title in ["Where is my order?", &"ä".repeat(300), "", "two\nlines [chatark x]"] {
            let name = name(title, "0123456789abcdef");
            assert!(name.chars().count() <= NAME_CHARACTERS && !name.contains('\n'), "{name}");
            assert_eq!(signed(&name), Some("0123456789abcdef"));
        }
        assert_eq!(signed("Delivery"), None);
    }

    #[test]
    fn more_questions_than_the_vendor_takes_are_left_out_and_said() {
        let questions_of = |count: usize| {
            let asked = (0..count).map(|number| format!("question {number}")).collect();
            let answer = Answer { key: "k".to_owned(), questions: asked, answer: "yes".to_owned() };
            let mut losses = LossReport::default();
            let parcel = questions(&answer, &mut losses);
            let body: Value = serde_json::from_slice(&parcel.creation).unwrap();
            (body["questions"].as_array().unwrap().len(), losses.rows().first().map(|loss| loss.count))
        };
        assert_eq!(questions_of(50), (50, None));
        assert_eq!(questions_of(53), (50, Some(3)));
    }
}
