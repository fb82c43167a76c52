//! Convocore's JSON to the shared model. Pure: no client, no clock, no order.
//!
//! The fields and their meaning are from the vendor's documents, its public code and captured responses up to
//! August 2026; see `docs/vendors/convocore-v3.md`. Messages are read in `turns`, their payloads in `parts`.

use chatark_core::fields::{self, Fields, nest};
use chatark_core::issue::Path;
use chatark_core::{
    Contact, Conversation, ConversationId, Issue, IssueKind, Issues, Rating, Result, Status, Timestamp, Zone,
};
use serde_json::Value;

use crate::feedback;
use crate::message_time::is_zone_doubtful;
use crate::turns::{Transcript, TurnReader};

/// Fields of the vendor's *light document*, a conversation without its turns, that the model has no place for.
const LIGHT: &[&str] = &[
    "ID",
    "averageLatency",
    "campaignCalls",
    "campaignId",
    "capturedVariables",
    "chatAssignedTo",
    "contactIdentityId",
    "convoTimeSeconds",
    "delegatedAt",
    "delegatedBy",
    "detailedCost",
    "endReason",
    "feedback",
    "firstMessageTS",
    "interactionsNum",
    "isBlocked",
    "isFollowingBusiness",
    "isTest",
    "lang",
    "lastMessage",
    "lastModified",
    "lastViewed",
    "messagesNum",
    "metrics",
    "nodesInfo",
    "note",
    "notifyToUserId",
    "ratingFrom5",
    "requestedTeamKey",
    "sessions",
    "sessionsNum",
    "socialHandle",
    "socialVerified",
    "summary",
    "tokenUsage",
    "totalUserInteractions",
    "user",
    "userBrowser",
    "userImage",
    "userOs",
    "userPlatform",
    "userProfilePic",
    "vapi",
    "voice",
];

const METADATA: Path<'static> = Path::Key(&Path::Root, "metadata");

/// Maps one conversation of the export. Times without a zone are read in `zone`.
pub(crate) fn normalize(raw: &[u8], zone: Zone) -> Result<(Conversation, Vec<Issue>)> {
    let issues = Issues::default();
    let record = fields::parse(raw, &issues)?;
    let mut conversation = conversation(Fields::of(record, &issues), zone);
    conversation.derive_missing_times();
    Ok((conversation, issues.into_vec()))
}

/// What the metadata says about the turns.
#[derive(Debug, Default)]
struct Metadata {
    /// Past sessions, oldest first.
    sessions: Vec<Value>,
    /// Whether a human agent took over the conversation at some time.
    is_handed_over: bool,
    /// When the conversation began, by its own `ts`.
    began: Option<Timestamp>,
    /// Whether the light document is under `convo`. In exports of the vendor's v2 edge, it is the metadata itself.
    is_wrapped: bool,
}

fn conversation(mut fields: Fields<'_>, zone: Zone) -> Conversation {
    let issues = fields.issues();
    let mut conversation = Conversation::empty(ConversationId::new(""));
    let mut metadata = Metadata::default();
    match fields.take("metadata").map(|value| Fields::open(value, METADATA, issues)) {
        Some(Ok(fields)) => metadata = read_metadata(fields, zone, &mut conversation),
        Some(Err(value)) => fields.keep("metadata", value),
        None => fields.report(IssueKind::Missing, "metadata"),
    }
    let reader = TurnReader { issues, zone, is_handed_over: metadata.is_handed_over };
    let past = reader.sessions(metadata.sessions, &Path::Key(&METADATA, "sessions"));
    let mut current = Transcript { previous: past.previous, ..Transcript::default() };
    match fields.list("turns") {
        Some(turns) => reader.turns(turns, &Path::Key(&Path::Root, "turns"), &mut current),
        None if fields.has("turns") => {}
        None => fields.report(IssueKind::Missing, "turns"),
    }
    if is_zone_doubtful(metadata.began, [past.first, current.first]) {
        let convo = Path::Key(&METADATA, "convo");
        let light = if metadata.is_wrapped { convo } else { METADATA };
        issues.add(IssueKind::TimeZoneDoubtful, &Path::Key(&light, "ts"));
    }
    for transcript in [past, current] {
        conversation.messages.extend(transcript.messages);
        conversation.extra.extend(transcript.stray);
    }
    for (key, value) in fields.finish(&[]) {
        let is_taken = conversation.extra.contains_key(&key);
        conversation.extra.insert(if is_taken { format!("record.{key}") } else { key }, value);
    }
    conversation
}

fn read_metadata(mut metadata: Fields<'_>, zone: Zone, conversation: &mut Conversation) -> Metadata {
    conversation.feedback = feedback::take(&mut metadata, "feedback");
    let sessions = metadata.list("sessions").unwrap_or_default();
    let (path, issues) = (*metadata.path(), metadata.issues());
    let convo = metadata.take("convo").map(|value| Fields::open(value, Path::Key(&path, "convo"), issues));
    let mut found = match convo {
        Some(Ok(mut light)) => {
            let id = light.id("id").or_else(|| metadata.id("ID")).or_else(|| light.id("ID"));
            let found = read_light(light, id, zone, conversation);
            nest(&mut conversation.extra, "metadata", metadata.finish(&["ID"]));
            Metadata { is_wrapped: true, ..found }
        }
        Some(Err(value)) => {
            metadata.keep("convo", value);
            let id = metadata.id("ID");
            read_light(metadata, id, zone, conversation)
        }
        None => {
            let id = metadata.id("ID");
            read_light(metadata, id, zone, conversation)
        }
    };
    found.sessions = sessions;
    found
}

/// Reads the light document.
fn read_light(
    mut light: Fields<'_>,
    id: Option<String>,
    zone: Zone,
    conversation: &mut Conversation,
) -> Metadata {
    if id.is_none() {
        light.report(IssueKind::Missing, "id");
    }
    conversation.id = ConversationId::new(id.unwrap_or_default());
    conversation.title = light.text("title");
    let began = light.time("ts", zone);
    conversation.created_at = began.or_else(|| light.time("firstMessageTS", zone));
    conversation.updated_at = light.time("lastMessageTS", zone);
    conversation.contact = contact(&mut light);
    (conversation.channel, conversation.channel_raw) = light.channel("origin");
    conversation.tags = light.texts("tags").unwrap_or_default();
    conversation.notes = light.text("notes").filter(|notes| !notes.is_empty()).or_else(|| light.text("note"));
    if conversation.feedback.is_none() {
        conversation.feedback = feedback::take(&mut light, "feedback");
    }
    conversation.rating = rating(&mut light);
    let mut is_handed_over = is_set(&light, "chatAssignedTo") || is_set(&light, "delegatedBy");
    if let Some((status, raw)) = light.word("state", status) {
        is_handed_over |= raw == "human-chatting";
        conversation.status = Some(status.unwrap_or(Status::Other));
        conversation.status_raw = Some(raw);
    }
    conversation.extra.extend(light.finish(LIGHT));
    Metadata { is_handed_over, began, ..Metadata::default() }
}

fn contact(light: &mut Fields<'_>) -> Contact {
    Contact {
        id: light.id("userID"),
        name: light.filled_in("userName"),
        email: light.filled_in("userEmail"),
        phone: light.filled_in("userPhone"),
        company: light.filled_in("userCompany"),
        address: light.filled_in("userAddress"),
        website: light.filled_in("userWebsite"),
    }
}

/// Takes the customer's rating, of up to five stars.
///
/// `0` stays under `extra`: nobody can give zero stars, so it is assumed to mean that there is no rating.
fn rating(light: &mut Fields<'_>) -> Option<Rating> {
    const KEY: &str = "ratingFrom5";
    const STARS: f64 = 5.0;
    match light.peek(KEY)?.as_f64() {
        Some(value) if value > 0.0 && value <= STARS => {
            light.take(KEY);
            return Some(Rating { value, scale: STARS });
        }
        Some(0.0) => {}
        Some(_) => light.report(IssueKind::UnknownValue, KEY),
        None => light.report(IssueKind::WrongType, KEY),
    }
    None
}

fn status(word: &str) -> Option<Status> {
    match word {
        "ai-chatting" | "open" => Some(Status::Ongoing),
        "ended_chat" | "completed" => Some(Status::Ended),
        "human-chatting" | "requested_chat" => Some(Status::TakenOver),
        _ => None,
    }
}

/// Returns whether a field is present and neither `false` nor empty, without taking it.
fn is_set(fields: &Fields<'_>, key: &str) -> bool {
    fields.peek(key).is_some_and(|value| *value != false && *value != "")
}
