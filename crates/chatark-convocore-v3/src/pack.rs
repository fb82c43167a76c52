//! The shared model to Convocore's JSON: conversations with their turns, and leads. Pure.
//!
//! What can be written, and in which form: the vendor's own public code and documents up to August 2026, as told in
//! `docs/vendors/convocore-v3.md`. `form` and `input` can be read and not written.

use bytes::Bytes;
use chatark_core::fields::put;
use chatark_core::{
    ArchivedConversation, Card, Channel, ChoiceOption, Feedback, FieldOutcome, LossReport, Message, ORIGIN,
    OutboundItem, Part, Person, Role, Rule, Status, Timestamp, origin_in,
};
use serde_json::{Map, Value, json};

/// The largest body that the vendor's framework takes by default; its documents name no other limit.
const MOST_BYTES: usize = 100_000;
/// A trace is cut after so many characters, as the vendor cuts its own.
const TRACE_CHARACTERS: usize = 2_000;
/// How the tag begins that every conversation gets which was carried here.
pub(crate) const TAG: &str = "migrated:";

const AS_TRACE: &str = "as a debug message, which people who work on the agent see";
const CUT: &str = "as a debug message of its first 2,000 characters";
const IN_NOTE: &str = "in the note, after the vendor's own id";
const RULES: &[Rule] = &[
    ("conversation.id", FieldOutcome::Approximated, IN_NOTE),
    ("conversation.title", FieldOutcome::Kept, "as the title"),
    ("conversation.channel", FieldOutcome::Kept, ""),
    ("conversation.status", FieldOutcome::Kept, ""),
    ("conversation.created_at", FieldOutcome::Kept, "to the second"),
    ("conversation.updated_at", FieldOutcome::Approximated, "as the time of the last message"),
    ("conversation.tags", FieldOutcome::Kept, "beside a tag that says where they come from"),
    ("conversation.notes", FieldOutcome::Kept, "before a line that says where they come from"),
    ("contact.id", FieldOutcome::Lost, "the vendor gives people ids of its own"),
    ("contact.*", FieldOutcome::Kept, "with the conversation"),
    ("message.role.user", FieldOutcome::Kept, "as human"),
    ("message.role.assistant", FieldOutcome::Kept, "as bot"),
    ("message.role.human_agent", FieldOutcome::Approximated, "as bot, marked as not generated"),
    ("message.role.system", FieldOutcome::Kept, "as system"),
    ("message.role.tool", FieldOutcome::Approximated, AS_TRACE),
    ("message.role.other", FieldOutcome::Approximated, "as system"),
    ("message.id", FieldOutcome::Kept, "as mid"),
    ("message.created_at", FieldOutcome::Kept, "to the second"),
    ("message.feedback", FieldOutcome::Kept, "as true or false"),
    ("part.text", FieldOutcome::Kept, "several of one message are joined"),
    // Each of the other parts is noted by what becomes of it.
    ("part.*", FieldOutcome::Lost, ""),
];

const ONE_LEAD: &str = "one lead for each person: the newest value that is known";
/// What becomes of the fields of conversations in leads.
pub(crate) const LEAD_RULES: &[Rule] = &[
    ("contact.id", FieldOutcome::Lost, "the vendor gives leads ids of its own"),
    ("contact.*", FieldOutcome::Kept, ONE_LEAD),
    // What else conversations have goes with them as history, and is counted there.
    ("*", FieldOutcome::Lost, ""),
];

/// Packs a conversation, or notes why it cannot go.
pub(crate) fn conversation(found: &ArchivedConversation, losses: &mut LossReport) -> Option<OutboundItem> {
    match packed(found) {
        Ok(parcel) => {
            note(found, losses);
            Some(parcel)
        }
        Err(why) => {
            losses.leave(why, found);
            None
        }
    }
}

fn packed(found: &ArchivedConversation) -> Result<OutboundItem, &'static str> {
    let conversation = &found.conversation;
    let times = || conversation.messages.iter().filter_map(|message| message.created_at);
    let began = conversation.created_at.or_else(|| times().min());
    let began = began.ok_or("it has no time, and the vendor wants to know when it began")?;
    let (counts, turns): (Vec<u64>, Vec<Value>) = conversation.messages.iter().filter_map(turn).unzip();
    if turns.is_empty() {
        return Err("nothing in it can be shown there");
    }
    let sign = found.first_origin();
    let creation = body(&json!({ "conversation": light(found, &sign, began) }));
    let completion = body(&json!({ "turns": turns, "updateConversationMetadata": true }));
    if creation.len().max(completion.len()) > MOST_BYTES {
        return Err("it is larger than the 100,000 bytes that the vendor takes at once");
    }
    let origin = Some((found.origin.source.clone(), conversation.id.clone()));
    let mark = found.first_place();
    let (messages, former_marks) = (counts.iter().sum(), Vec::new());
    Ok(OutboundItem { mark, former_marks, sign, email: None, origin, messages, creation, completion })
}

/// Packs a person, where anything is known by which somebody could reach or greet them.
pub(crate) fn lead(person: &Person) -> Option<OutboundItem> {
    let contact = &person.contact;
    if contact.name.is_none() && contact.email.is_none() && contact.phone.is_none() {
        return None;
    }
    let sign = one_line(&person.key);
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
    lead.insert("notes".to_owned(), format!("{ORIGIN}{sign}").into());
    let creation = body(&Value::Object(lead));
    let (mark, former_marks) = (person.key.clone(), person.former_keys.clone());
    let completion = Bytes::new();
    Some(OutboundItem {
        mark,
        former_marks,
        sign,
        email: None,
        origin: None,
        messages: 0,
        creation,
        completion,
    })
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Returns everything of a conversation but its turns.
fn light(found: &ArchivedConversation, sign: &str, began: Timestamp) -> Map<String, Value> {
    let conversation = &found.conversation;
    let contact = &conversation.contact;
    let mut light = Map::new();
    light.insert("ts".to_owned(), seconds(began).into());
    let notes = conversation.notes.as_deref().filter(|notes| !notes.is_empty());
    let origin = format!("{ORIGIN}{sign}");
    let notes = match notes {
        None => origin,
        Some(notes) if origin_in(notes).is_some() => notes.to_owned(),
        Some(notes) => format!("{notes}\n{origin}"),
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
        put(&mut light, key, value);
    }
    let mut tags = conversation.tags.clone();
    tags.push(format!("{TAG}{}", found.origin.provider));
    light.insert("tags".to_owned(), tags.into());
    light
}

/// Returns the vendor's word for a channel, where it has one.
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

/// Returns the vendor's word for a state, and what becomes of it.
///
/// A conversation that was carried here cannot go on, and must not call anybody to take it over.
fn state(status: Status) -> (Option<&'static str>, FieldOutcome) {
    match status {
        Status::Ended => (Some("ended_chat"), FieldOutcome::Kept),
        _ => (Some("ended_chat"), FieldOutcome::Approximated),
    }
}

/// Returns the turn of a message, with how many of the vendor's messages it has: one for its text, and one for each
/// other part; `None` where nothing can be shown.
fn turn(message: &Message) -> Option<(u64, Value)> {
    let text = Some(message.text()).filter(|text| !text.is_empty());
    let others = message.parts.iter().filter(|part| part.as_text().is_none()).filter_map(item);
    let said = text.map(|text| ("text", json!({ "type": "text", "payload": { "message": text } })));
    let mut messages = Vec::new();
    for (kind, item) in said.into_iter().chain(others) {
        let role = if kind == TRACE { Role::System } else { message.role };
        let mut value = Map::new();
        value.insert("from".to_owned(), speaker(role).into());
        value.insert("type".to_owned(), kind.into());
        value.insert("item".to_owned(), item);
        date(&mut value, message);
        if messages.is_empty() {
            put(&mut value, "mid", message.id.as_deref());
            if let Some(feedback) = message.feedback {
                value.insert("feedback".to_owned(), (feedback == Feedback::Positive).into());
            }
        }
        generated(&mut value, role);
        messages.push(Value::Object(value));
    }
    let count = messages.len() as u64;
    let mut value = Map::new();
    value.insert("from".to_owned(), speaker(message.role).into());
    value.insert("messages".to_owned(), messages.into());
    date(&mut value, message);
    generated(&mut value, message.role);
    (count > 0).then_some((count, Value::Object(value)))
}

fn speaker(role: Role) -> &'static str {
    match role {
        Role::User => "human",
        Role::Assistant | Role::HumanAgent => "bot",
        _ => "system",
    }
}

/// Says whether the bot wrote it or a person in its place.
fn generated(value: &mut Map<String, Value>, role: Role) {
    if matches!(role, Role::Assistant | Role::HumanAgent) {
        value.insert("isAIGenerated".to_owned(), (role == Role::Assistant).into());
    }
}

fn date(value: &mut Map<String, Value>, message: &Message) {
    if let Some(at) = message.created_at {
        value.insert("ts".to_owned(), seconds(at).into());
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.microseconds().div_euclid(1_000_000)
}

const TRACE: &str = "debug:tell";

/// Returns what a part that is no text becomes.
fn item(part: &Part) -> Option<(&'static str, Value)> {
    Some(match part {
        Part::Text { .. } | Part::Other { .. } => return None,
        Part::Choice { options } => ("choice", json!({ "payload": { "buttons": buttons(options) } })),
        Part::Image { url } => ("visual", json!({ "payload": { "image": url.as_deref()? } })),
        Part::Audio { url, .. } => ("VoiceNote", json!({ "payload": url.as_deref()? })),
        Part::Card(shown) => ("cardV2", json!({ "payload": card(shown) })),
        Part::File { url, name } => {
            let what = [name.as_deref(), url.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            (TRACE, trace("File", &what))
        }
        Part::Form { .. } => (TRACE, trace("Form", &serde_json::to_string(part).ok()?)),
        Part::ToolCall { name, input, .. } => {
            let input = input.as_ref().map(Value::to_string).unwrap_or_default();
            (TRACE, trace("Tool called", &format!("{} {input}", name.as_deref().unwrap_or("tool"))))
        }
        Part::ToolResult { name, data, error, .. } => {
            let results: Vec<_> = [data, error].into_iter().flatten().map(written).collect();
            let name = name.as_deref().unwrap_or("tool");
            (TRACE, trace("Tool ended", &format!("{name} {}", results.join(" "))))
        }
    })
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn trace(what: &str, text: &str) -> Value {
    let text: String = format!("{what}: {}", text.trim()).chars().take(TRACE_CHARACTERS).collect();
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

/// Notes what becomes of the fields of a conversation that goes.
fn note(found: &ArchivedConversation, losses: &mut LossReport) {
    let is_shown = |message: &Message| turn(message).is_some();
    let silent = found.conversation.messages.iter().filter(|message| !is_shown(message)).count();
    if silent == 0 {
        losses.apply(RULES, found);
    } else {
        losses.note("message", FieldOutcome::Lost, "nothing of it can be shown there", silent, found);
        let mut shown = found.clone();
        shown.conversation.messages.retain(is_shown);
        losses.apply(RULES, &shown);
    }
    for part in found.conversation.messages.iter().flat_map(|message| &message.parts) {
        let Some((field, fate, why)) = fate(part) else { continue };
        losses.note(field, fate, why, 1, found);
    }
    let conversation = &found.conversation;
    if let Some(place) = conversation.channel {
        let (fate, why) = match channel(place) {
            Some(_) => (FieldOutcome::Kept, "as origin"),
            None => (FieldOutcome::Lost, "the vendor has no word for it"),
        };
        losses.note("conversation.channel", fate, why, 1, found);
    }
    if let Some(status) = conversation.status {
        let (_, fate) = state(status);
        let why = if fate == FieldOutcome::Kept { "as state" } else { "as ended: it cannot go on there" };
        losses.note("conversation.status", fate, why, 1, found);
    }
}

/// Returns what becomes of a part that is no text.
fn fate(part: &Part) -> Option<(&'static str, FieldOutcome, &'static str)> {
    let (field, fate, why) = match part {
        Part::Text { .. } => return None,
        Part::Choice { .. } => ("part.choice", FieldOutcome::Kept, "as choice"),
        Part::Card(_) => ("part.card", FieldOutcome::Kept, "as cardV2"),
        Part::Image { .. } => ("part.image", FieldOutcome::Kept, "as visual, by its address"),
        Part::Audio { transcript: Some(_), .. } => {
            ("part.audio", FieldOutcome::Approximated, "as VoiceNote, by its address and without its words")
        }
        Part::Audio { .. } => ("part.audio", FieldOutcome::Kept, "as VoiceNote, by its address"),
        Part::File { .. } => ("part.file", FieldOutcome::Approximated, AS_TRACE),
        Part::Form { .. } => ("part.form", FieldOutcome::Approximated, AS_TRACE),
        Part::ToolCall { .. } => ("part.tool_call", FieldOutcome::Approximated, AS_TRACE),
        Part::ToolResult { .. } => ("part.tool_result", FieldOutcome::Approximated, AS_TRACE),
        Part::Other { .. } => {
            return Some(("part.other", FieldOutcome::Lost, "what it means there is not known"));
        }
    };
    Some(match item(part) {
        None => (field, FieldOutcome::Lost, "it has no address"),
        Some((TRACE, item)) if is_cut(&item) => (field, fate, CUT),
        Some(_) => (field, fate, why),
    })
}

/// Returns whether a trace has as many characters as a trace can have.
fn is_cut(item: &Value) -> bool {
    item["payload"]["message"].as_str().is_some_and(|text| text.chars().count() >= TRACE_CHARACTERS)
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

    fn of(messages: Vec<Message>) -> Conversation {
        Conversation { created_at: at(BEGAN), messages, ..Conversation::empty(ConversationId::new("c1")) }
    }

    #[track_caller]
    fn sent(conversation: Conversation) -> (Value, Value, u64) {
        let parcel = super::conversation(&archived(conversation), &mut LossReport::default()).unwrap();
        let json = |bytes: &Bytes| serde_json::from_slice(bytes).unwrap();
        (json(&parcel.creation), json(&parcel.completion), parcel.messages)
    }

    #[test]
    fn everything_around_the_messages_has_the_vendor_s_names() {
        let contact =
            Contact { name: Some("Jane".to_owned()), phone: Some(String::new()), ..Contact::default() };
        let conversation = Conversation {
            title: Some("Order".to_owned()),
            channel: Some(Channel::Website),
            status: Some(Status::TakenOver),
            contact,
            tags: vec!["vip".to_owned()],
            notes: Some("calls back".to_owned()),
            ..of(vec![spoken(Role::User, vec![Part::text("Hello!")])])
        };
        let expect = json!({ "conversation": {
            "ts": BEGAN, "title": "Order", "userName": "Jane", "origin": "web-chat", "state": "ended_chat",
            "notes": "calls back\nMigrated by Chatark: chatbase-v2 / agent1 / c1",
            "tags": ["vip", "migrated:chatbase-v2"],
        } });
        assert_eq!(sent(conversation).0, expect);
    }

    /// By the sample of the vendor's own request: what a turn and its messages look like.
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
        let (_, completion, messages) =
            sent(of(vec![answer, spoken(Role::HumanAgent, vec![Part::text("I am Ann.")])]));
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
        assert_eq!((completion, messages), (expect, 4));
    }

    /// What cannot go is one row, and none of its fields is counted besides.
    #[track_caller]
    fn stays(conversation: Conversation, why: &str) {
        let mut losses = LossReport::default();
        assert_eq!(super::conversation(&archived(conversation), &mut losses), None);
        let rows = losses.rows();
        let found: Vec<_> =
            rows.iter().map(|loss| (loss.field.as_str(), loss.fate, loss.count, loss.why.as_str())).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0], ("conversation", FieldOutcome::Lost, 1, why));
    }

    #[test]
    fn what_cannot_go_is_said() {
        stays(of(vec![spoken(Role::User, Vec::new())]), "nothing in it can be shown there");
        let timeless = Message { created_at: None, ..spoken(Role::User, vec![Part::text("x")]) };
        stays(
            Conversation { created_at: None, ..of(vec![timeless]) },
            "it has no time, and the vendor wants to know when it began",
        );
    }

    #[test]
    fn the_largest_conversation_that_goes_has_just_the_bytes_that_the_vendor_takes() {
        let text = |size: usize| of(vec![spoken(Role::User, vec![Part::text("x".repeat(size))])]);
        let size_of = |size: usize| {
            let parcel = conversation(&archived(text(size)), &mut LossReport::default());
            parcel.map(|parcel| parcel.completion.len())
        };
        let around = size_of(1).unwrap() - 1;
        assert_eq!(size_of(MOST_BYTES - around), Some(100_000));
        assert_eq!(size_of(MOST_BYTES - around + 1), None);
        stays(text(MOST_BYTES), "it is larger than the 100,000 bytes that the vendor takes at once");
    }

    #[test]
    fn a_lead_has_what_is_known_and_a_person_of_whom_nothing_is_known_is_none() {
        let contact = Contact { email: Some("j@example.com".to_owned()), ..Contact::default() };
        let person = Person { key: "j@example.com".to_owned(), contact, ..Person::default() };
        let parcel = lead(&person).unwrap();
        let body: Value = serde_json::from_slice(&parcel.creation).unwrap();
        let expect = json!({ "userEmail": "j@example.com", "notes": "Migrated by Chatark: j@example.com" });
        assert_eq!(body, expect);
        assert_eq!(lead(&Person { contact: Contact::default(), ..person }), None);
    }
}
