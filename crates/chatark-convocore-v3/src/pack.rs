//! Maps the shared model to Convocore's JSON: conversations with their turns, and leads. Pure.
//!
//! By the vendor's public code and documents up to August 2026, see `docs/vendors/convocore-v3.md`. Messages of the
//! types `form` and `input` can be read, but not written.

use bytes::Bytes;
use chatark_core::fields::put;
use chatark_core::{
    ArchivedConversation, Card, Channel, ChoiceOption, Feedback, Message, Part, Role, Status, Timestamp,
};
use chatark_target::{
    COPY_NOTE_PREFIX, FieldOutcome, FieldRule, LossReport, Original, OutboundItem, Person, original_in,
};
use serde_json::{Map, Value, json};

/// The largest request body in bytes: the default of the vendor's framework, since its documents name no limit.
const MAX_BYTES: usize = 100_000;
/// The most characters of a debug message; the vendor cuts its own debug messages there.
const MAX_DEBUG_CHARACTERS: usize = 2_000;
/// The beginning of the tag of every migrated conversation.
pub(crate) const TAG_PREFIX: &str = "migrated:";

const AS_DEBUG_MESSAGE: &str = "as a debug message, which only the agent's team sees";
const AS_CUT_DEBUG_MESSAGE: &str = "as a debug message, cut to 2,000 characters";
const IN_NOTE: &str = "in the note; the vendor gives an id of its own";
const RULES: &[FieldRule] = &[
    ("conversation.id", FieldOutcome::Approximated, IN_NOTE),
    ("conversation.title", FieldOutcome::Kept, "as the title"),
    ("conversation.channel", FieldOutcome::Kept, ""),
    ("conversation.status", FieldOutcome::Kept, ""),
    ("conversation.created_at", FieldOutcome::Kept, "to the second"),
    ("conversation.updated_at", FieldOutcome::Approximated, "as the time of the last message"),
    ("conversation.tags", FieldOutcome::Kept, "with a tag for the origin"),
    ("conversation.notes", FieldOutcome::Kept, "with a line for the origin"),
    ("contact.id", FieldOutcome::Lost, "the vendor assigns ids of its own"),
    ("contact.*", FieldOutcome::Kept, "with the conversation"),
    ("message.role.user", FieldOutcome::Kept, "as human"),
    ("message.role.assistant", FieldOutcome::Kept, "as bot"),
    ("message.role.human_agent", FieldOutcome::Approximated, "as bot, marked as not generated"),
    ("message.role.system", FieldOutcome::Kept, "as system"),
    ("message.role.tool", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
    ("message.role.other", FieldOutcome::Approximated, "as system"),
    ("message.id", FieldOutcome::Kept, "as mid"),
    ("message.created_at", FieldOutcome::Kept, "to the second"),
    ("message.feedback", FieldOutcome::Kept, "as true or false"),
    ("message.internal", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
    ("part.text", FieldOutcome::Kept, "several in one message are joined"),
    // Other parts are counted one by one.
    ("part.*", FieldOutcome::Lost, ""),
];

const ONE_LEAD: &str = "one lead for each person: the newest known value";
/// What becomes of the fields of conversations when leads are made from them.
pub(crate) const LEAD_RULES: &[FieldRule] = &[
    ("contact.id", FieldOutcome::Lost, "the vendor assigns ids of its own"),
    ("contact.*", FieldOutcome::Kept, ONE_LEAD),
    // Other fields are migrated and counted with history.
    ("*", FieldOutcome::Lost, ""),
];

/// Packs a conversation, or counts it as left out.
pub(crate) fn conversation(
    archived: &ArchivedConversation,
    loss_report: &mut LossReport,
) -> Option<OutboundItem> {
    match packed(archived) {
        Ok(item) => {
            count_fields(archived, loss_report);
            Some(item)
        }
        Err(why) => {
            loss_report.add_left_out(why, archived);
            None
        }
    }
}

fn packed(archived: &ArchivedConversation) -> Result<OutboundItem, &'static str> {
    let conversation = &archived.conversation;
    let times = || conversation.messages.iter().filter_map(|message| message.created_at);
    let began = conversation.created_at.or_else(|| times().min());
    let began = began.ok_or("it has no time, and the vendor requires one")?;
    let (counts, turns): (Vec<u64>, Vec<Value>) = conversation.messages.iter().filter_map(turn).unzip();
    if turns.is_empty() {
        return Err("it has no message that the vendor can show");
    }
    let original = Original::of(archived);
    let create_body = body(&json!({ "conversation": header(archived, original.name(), began) }));
    let complete_body = body(&json!({ "turns": turns, "updateConversationMetadata": true }));
    if create_body.len().max(complete_body.len()) > MAX_BYTES {
        return Err("it is larger than 100,000 bytes, the most that the vendor takes");
    }
    Ok(OutboundItem {
        idempotency_key: original.agent_and_id().to_owned(),
        previous_keys: Vec::new(),
        external_id: original.name().to_owned(),
        email: None,
        origin: Some((archived.origin.source.clone(), conversation.id.clone())),
        messages: counts.iter().sum(),
        create_body,
        complete_body,
    })
}

/// Packs a person; `None` without a name, an e-mail address or a phone number.
pub(crate) fn lead(person: &Person) -> Option<OutboundItem> {
    let contact = &person.contact;
    if contact.name.is_none() && contact.email.is_none() && contact.phone.is_none() {
        return None;
    }
    let external_id = one_line(&person.key);
    let mut lead = Map::new();
    for (key, value) in [
        ("userName", &contact.name),
        ("userEmail", &contact.email),
        ("userPhone", &contact.phone),
        ("userCompany", &contact.company),
        ("userAddress", &contact.address),
        ("userWebsite", &contact.website),
    ] {
        put(&mut lead, key, value.as_deref());
    }
    lead.insert("notes".to_owned(), format!("{COPY_NOTE_PREFIX}{external_id}").into());
    Some(OutboundItem {
        idempotency_key: person.key.clone(),
        previous_keys: person.previous_keys.clone(),
        external_id,
        email: None,
        origin: None,
        messages: 0,
        create_body: body(&Value::Object(lead)),
        complete_body: Bytes::new(),
    })
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Returns the vendor's JSON of a conversation without its turns.
fn header(archived: &ArchivedConversation, original: &str, began: Timestamp) -> Map<String, Value> {
    let conversation = &archived.conversation;
    let contact = &conversation.contact;
    let mut header = Map::new();
    header.insert("ts".to_owned(), seconds(began).into());
    let notes = conversation.notes.as_deref().filter(|notes| !notes.is_empty());
    let copy_note = format!("{COPY_NOTE_PREFIX}{original}");
    let notes = match notes {
        None => copy_note,
        Some(notes) if original_in(notes).is_some() => notes.to_owned(),
        Some(notes) => format!("{notes}\n{copy_note}"),
    };
    for (key, value) in [
        ("title", conversation.title.as_deref()),
        ("userName", contact.name.as_deref()),
        ("userEmail", contact.email.as_deref()),
        ("userPhone", contact.phone.as_deref()),
        ("userCompany", contact.company.as_deref()),
        ("userAddress", contact.address.as_deref()),
        ("userWebsite", contact.website.as_deref()),
        ("origin", conversation.channel.and_then(channel)),
        ("state", conversation.status.and_then(|status| state(status).0)),
        ("notes", Some(&notes)),
    ] {
        put(&mut header, key, value);
    }
    let mut tags = conversation.tags.clone();
    tags.push(format!("{TAG_PREFIX}{}", archived.origin.provider));
    header.insert("tags".to_owned(), tags.into());
    header
}

/// Returns the vendor's word for a channel, if it has one.
fn channel(channel: Channel) -> Option<&'static str> {
    Some(match channel {
        Channel::Website => "web-chat",
        Channel::WhatsApp => "whatsapp",
        Channel::Messenger => "messenger",
        Channel::Instagram => "instagram",
        Channel::Slack => "slack",
        Channel::Email => "email",
        Channel::Phone => "telephony",
        Channel::Sms => "sms",
        Channel::Telegram => "telegram",
        Channel::Discord => "discord",
        Channel::GoogleBusiness => "gb-chat",
        Channel::Zoho => "zoho",
        _ => return None,
    })
}

/// Returns the vendor's word for a status, and what becomes of it.
///
/// A migrated conversation is over, and must not ask anybody to take it over.
fn state(status: Status) -> (Option<&'static str>, FieldOutcome) {
    match status {
        Status::Ended => (Some("ended_chat"), FieldOutcome::Kept),
        _ => (Some("ended_chat"), FieldOutcome::Approximated),
    }
}

/// Returns the turn of a message and the number of the vendor's messages in it: one for the text, and one for each
/// other part. `None` if the vendor cannot show any of it.
fn turn(message: &Message) -> Option<(u64, Value)> {
    let text = Some(message.text()).filter(|text| !text.is_empty());
    let others = message.parts.iter().filter(|part| part.as_text().is_none()).filter_map(part_item);
    let texts = text.map(|text| {
        if message.internal {
            return (DEBUG_MESSAGE, debug_message("Internal note", &text));
        }
        ("text", json!({ "type": "text", "payload": { "message": text } }))
    });
    let mut messages = Vec::new();
    for (kind, item) in texts.into_iter().chain(others) {
        let role = if kind == DEBUG_MESSAGE { Role::System } else { message.role };
        let mut value = Map::new();
        value.insert("from".to_owned(), speaker(role).into());
        value.insert("type".to_owned(), kind.into());
        value.insert("item".to_owned(), item);
        set_time(&mut value, message);
        if messages.is_empty() {
            put(&mut value, "mid", message.id.as_deref());
            if let Some(feedback) = message.feedback {
                value.insert("feedback".to_owned(), (feedback == Feedback::Positive).into());
            }
        }
        set_generated(&mut value, role);
        messages.push(Value::Object(value));
    }
    let count = messages.len() as u64;
    let mut value = Map::new();
    let role = if message.internal { Role::System } else { message.role };
    value.insert("from".to_owned(), speaker(role).into());
    value.insert("messages".to_owned(), messages.into());
    set_time(&mut value, message);
    set_generated(&mut value, role);
    (count > 0).then_some((count, Value::Object(value)))
}

fn speaker(role: Role) -> &'static str {
    match role {
        Role::User => "human",
        Role::Assistant | Role::HumanAgent => "bot",
        _ => "system",
    }
}

/// Sets whether the message was generated by the bot or written by a human agent.
fn set_generated(value: &mut Map<String, Value>, role: Role) {
    if matches!(role, Role::Assistant | Role::HumanAgent) {
        value.insert("isAIGenerated".to_owned(), (role == Role::Assistant).into());
    }
}

fn set_time(value: &mut Map<String, Value>, message: &Message) {
    if let Some(at) = message.created_at {
        value.insert("ts".to_owned(), seconds(at).into());
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.microseconds().div_euclid(1_000_000)
}

/// The type of the vendor's debug messages, which customers do not see.
const DEBUG_MESSAGE: &str = "debug:tell";

/// Returns the type and the `item` of the vendor's message for a part other than text.
fn part_item(part: &Part) -> Option<(&'static str, Value)> {
    Some(match part {
        Part::Text { .. } | Part::Other { .. } => return None,
        Part::Choice { options } => ("choice", json!({ "payload": { "buttons": buttons(options) } })),
        Part::Image { url } => ("visual", json!({ "payload": { "image": url.as_deref()? } })),
        Part::Audio { url, .. } => ("VoiceNote", json!({ "payload": url.as_deref()? })),
        Part::Card(shown) => ("cardV2", json!({ "payload": card(shown) })),
        Part::File { url, name } => {
            let what = [name.as_deref(), url.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            (DEBUG_MESSAGE, debug_message("File", &what))
        }
        Part::Form { .. } => (DEBUG_MESSAGE, debug_message("Form", &serde_json::to_string(part).ok()?)),
        Part::ToolCall { name, input, .. } => {
            let input = input.as_ref().map(Value::to_string).unwrap_or_default();
            (
                DEBUG_MESSAGE,
                debug_message("Tool called", &format!("{} {input}", name.as_deref().unwrap_or("tool"))),
            )
        }
        Part::ToolResult { name, data, error, .. } => {
            let results: Vec<_> = [data, error].into_iter().flatten().map(plain).collect();
            let name = name.as_deref().unwrap_or("tool");
            (DEBUG_MESSAGE, debug_message("Tool ended", &format!("{name} {}", results.join(" "))))
        }
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn debug_message(what: &str, text: &str) -> Value {
    let text: String = format!("{what}: {}", text.trim()).chars().take(MAX_DEBUG_CHARACTERS).collect();
    json!({ "payload": { "message": text } })
}

fn buttons(options: &[ChoiceOption]) -> Vec<Value> {
    let button = |option: &ChoiceOption| {
        let label = option.label.as_deref().or(option.value.as_deref()).unwrap_or_default();
        let message = option.value.as_deref().unwrap_or(label);
        let request = option.url.as_ref().map_or_else(
            || json!({ "type": "text", "payload": { "message": message } }),
            |url| json!({ "type": "open_url", "payload": { "url": url } }),
        );
        json!({ "name": label, "request": request })
    };
    options.iter().map(button).collect()
}

fn card(card: &Card) -> Map<String, Value> {
    let mut value = Map::new();
    put(&mut value, "title", card.title.as_deref());
    put(&mut value, "imageUrl", card.image_url.as_deref());
    if let Some(text) = &card.text {
        value.insert("description".to_owned(), json!({ "text": text }));
    }
    if !card.options.is_empty() {
        value.insert("buttons".to_owned(), buttons(&card.options).into());
    }
    value
}

/// Counts what becomes of the fields of a conversation.
fn count_fields(archived: &ArchivedConversation, loss_report: &mut LossReport) {
    let is_shown = |message: &Message| turn(message).is_some();
    let hidden = archived.conversation.messages.iter().filter(|message| !is_shown(message)).count();
    if hidden == 0 {
        loss_report.add_fields(RULES, archived);
    } else {
        loss_report.add("message", FieldOutcome::Lost, "the vendor can show nothing of it", hidden, archived);
        let mut shown = archived.clone();
        shown.conversation.messages.retain(is_shown);
        loss_report.add_fields(RULES, &shown);
    }
    for part in archived.conversation.messages.iter().flat_map(|message| &message.parts) {
        let Some((field, outcome, why)) = part_outcome(part) else { continue };
        loss_report.add(field, outcome, why, 1, archived);
    }
    let conversation = &archived.conversation;
    if let Some(own) = conversation.channel {
        let (outcome, why) = match channel(own) {
            Some(_) => (FieldOutcome::Kept, "as origin"),
            None => (FieldOutcome::Lost, "the vendor has no such channel"),
        };
        loss_report.add("conversation.channel", outcome, why, 1, archived);
    }
    if let Some(status) = conversation.status {
        let (_, outcome) = state(status);
        let why = if outcome == FieldOutcome::Kept {
            "as state"
        } else {
            "as ended: a migrated conversation is over"
        };
        loss_report.add("conversation.status", outcome, why, 1, archived);
    }
}

/// Returns what becomes of a part other than text.
fn part_outcome(part: &Part) -> Option<(&'static str, FieldOutcome, &'static str)> {
    let (field, outcome, why) = match part {
        Part::Text { .. } => return None,
        Part::Choice { .. } => ("part.choice", FieldOutcome::Kept, "as choice"),
        Part::Card(_) => ("part.card", FieldOutcome::Kept, "as cardV2"),
        Part::Image { .. } => ("part.image", FieldOutcome::Kept, "as visual, by its URL"),
        Part::Audio { transcript: Some(_), .. } => {
            ("part.audio", FieldOutcome::Approximated, "as VoiceNote, by its URL and without its transcript")
        }
        Part::Audio { .. } => ("part.audio", FieldOutcome::Kept, "as VoiceNote, by its URL"),
        Part::File { .. } => ("part.file", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
        Part::Form { .. } => ("part.form", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
        Part::ToolCall { .. } => ("part.tool_call", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
        Part::ToolResult { .. } => ("part.tool_result", FieldOutcome::Approximated, AS_DEBUG_MESSAGE),
        Part::Other { .. } => {
            return Some(("part.other", FieldOutcome::Lost, "its meaning is not known"));
        }
    };
    Some(match part_item(part) {
        None => (field, FieldOutcome::Lost, "it has no URL"),
        Some((DEBUG_MESSAGE, item)) if is_cut(&item) => (field, outcome, AS_CUT_DEBUG_MESSAGE),
        Some(_) => (field, outcome, why),
    })
}

/// Returns whether a debug message has been cut, by its length.
fn is_cut(item: &Value) -> bool {
    item["payload"]["message"].as_str().is_some_and(|text| text.chars().count() >= MAX_DEBUG_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatark_core::{Contact, Conversation, ConversationId, Origin, SourceName};

    use super::*;

    const BEGAN: i64 = 1_733_049_000;

    fn at(seconds: i64) -> Option<Timestamp> {
        Timestamp::from_epoch(seconds).ok()
    }

    fn archived(conversation: Conversation) -> ArchivedConversation {
        let origin = Origin {
            source: SourceName::new("shop").unwrap(),
            provider: "chatbase-v2".to_owned(),
            agent_id: "agent1".to_owned(),
        };
        ArchivedConversation { origin: Arc::new(origin), conversation }
    }

    fn spoken(role: Role, parts: Vec<Part>) -> Message {
        Message { created_at: at(BEGAN + 2), parts, ..Message::empty(role) }
    }

    fn conversation_of(messages: Vec<Message>) -> Conversation {
        Conversation { created_at: at(BEGAN), messages, ..Conversation::empty(ConversationId::new("c1")) }
    }

    #[track_caller]
    fn packed_json(conversation: Conversation) -> (Value, Value, u64) {
        let item = super::conversation(&archived(conversation), &mut LossReport::default()).unwrap();
        let json = |bytes: &Bytes| serde_json::from_slice(bytes).unwrap();
        (json(&item.create_body), json(&item.complete_body), item.messages)
    }

    #[test]
    fn the_header_uses_the_vendors_names() {
        let contact =
            Contact { name: Some("Jane".to_owned()), phone: Some(String::new()), ..Contact::default() };
        let conversation = Conversation {
            title: Some("Order".to_owned()),
            channel: Some(Channel::Website),
            status: Some(Status::TakenOver),
            contact,
            tags: vec!["vip".to_owned()],
            notes: Some("calls back".to_owned()),
            ..conversation_of(vec![spoken(Role::User, vec![Part::text("Hello!")])])
        };
        let expect = json!({ "conversation": {
            "ts": BEGAN, "title": "Order", "userName": "Jane", "origin": "web-chat", "state": "ended_chat",
            "notes": "calls back\nMigrated by Chatark: chatbase-v2 / agent1 / c1",
            "tags": ["vip", "migrated:chatbase-v2"],
        } });
        assert_eq!(packed_json(conversation).0, expect);
    }

    /// Turns and messages have the shape of the vendor's own sample request.
    #[test]
    fn a_turn_has_one_message_for_the_text_and_one_for_each_other_part() {
        let option = ChoiceOption { label: Some("Pricing".to_owned()), ..ChoiceOption::default() };
        let answer = Message {
            id: Some("wamid.X".to_owned()),
            feedback: Some(Feedback::Positive),
            ..spoken(
                Role::Assistant,
                vec![
                    Part::text("Hi!"),
                    Part::Choice { options: vec![option] },
                    Part::ToolResult {
                        id: None,
                        name: Some("kb".to_owned()),
                        status: None,
                        data: Some(json!({"n": 1})),
                        error: None,
                    },
                    Part::text("Anything else?"),
                ],
            )
        };
        let (_, complete_body, messages) = packed_json(conversation_of(vec![
            answer,
            spoken(Role::HumanAgent, vec![Part::text("I am Ann.")]),
        ]));
        let ts = BEGAN + 2;
        let expect = json!({ "updateConversationMetadata": true, "turns": [
            { "from": "bot", "ts": ts, "isAIGenerated": true, "messages": [
                { "from": "bot", "type": "text", "ts": ts, "isAIGenerated": true, "mid": "wamid.X", "feedback": true,
                  "item": { "type": "text", "payload": { "message": "Hi!\nAnything else?" } } },
                { "from": "bot", "type": "choice", "ts": ts, "isAIGenerated": true, "item": { "payload": { "buttons": [
                    { "name": "Pricing", "request": { "type": "text", "payload": { "message": "Pricing" } } },
                ] } } },
                { "from": "system", "type": "debug:tell", "ts": ts,
                  "item": { "payload": { "message": "Tool ended: kb {\"n\":1}" } } },
            ] },
            { "from": "bot", "ts": ts, "isAIGenerated": false, "messages": [
                { "from": "bot", "type": "text", "ts": ts, "isAIGenerated": false,
                  "item": { "type": "text", "payload": { "message": "I am Ann." } } },
            ] },
        ] });
        assert_eq!((complete_body, messages), (expect, 4));
    }

    #[test]
    fn an_internal_note_becomes_a_debug_message() {
        let note = Message { internal: true, ..spoken(Role::HumanAgent, vec![Part::text("call her")]) };
        let (_, completion, messages) = packed_json(conversation_of(vec![note]));
        let ts = BEGAN + 2;
        let expect = json!([{ "from": "system", "ts": ts, "messages": [
            { "from": "system", "type": "debug:tell", "ts": ts,
              "item": { "payload": { "message": "Internal note: call her" } } },
        ] }]);
        assert_eq!((&completion["turns"], messages), (&expect, 1));
    }

    /// Checks that a conversation is left out: one row of the report, without its fields.
    #[track_caller]
    fn check_left_out(conversation: Conversation, why: &str) {
        let mut loss_report = LossReport::default();
        assert_eq!(super::conversation(&archived(conversation), &mut loss_report), None);
        let rows = loss_report.rows();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let row = &rows[0];
        let expected = ("conversation", FieldOutcome::Lost, 1, why);
        assert_eq!((row.field.as_str(), row.outcome, row.count, row.why.as_str()), expected);
    }

    #[test]
    fn a_conversation_that_cannot_be_migrated_is_left_out_with_the_reason() {
        check_left_out(
            conversation_of(vec![spoken(Role::User, Vec::new())]),
            "it has no message that the vendor can show",
        );
        let timeless = Message { created_at: None, ..spoken(Role::User, vec![Part::text("x")]) };
        check_left_out(
            Conversation { created_at: None, ..conversation_of(vec![timeless]) },
            "it has no time, and the vendor requires one",
        );
    }

    #[test]
    fn the_size_limit_is_exact() {
        let text =
            |size: usize| conversation_of(vec![spoken(Role::User, vec![Part::text("x".repeat(size))])]);
        let size_of = |size: usize| {
            let item = conversation(&archived(text(size)), &mut LossReport::default());
            item.map(|item| item.complete_body.len())
        };
        let around = size_of(1).unwrap() - 1;
        assert_eq!(size_of(MAX_BYTES - around), Some(100_000));
        assert_eq!(size_of(MAX_BYTES - around + 1), None);
        check_left_out(text(MAX_BYTES), "it is larger than 100,000 bytes, the most that the vendor takes");
    }

    #[test]
    fn a_lead_has_what_is_known_about_a_person_and_needs_a_name_or_an_address() {
        let contact = Contact { email: Some("j@example.com".to_owned()), ..Contact::default() };
        let person = Person { key: "j@example.com".to_owned(), contact, ..Person::default() };
        let item = lead(&person).unwrap();
        let body: Value = serde_json::from_slice(&item.create_body).unwrap();
        let expect = json!({ "userEmail": "j@example.com", "notes": "Migrated by Chatark: j@example.com" });
        assert_eq!(body, expect);
        assert_eq!(lead(&Person { contact: Contact::default(), ..person }), None);
    }
}
