//! Conversations in the form of a Slack export, which Mattermost and `Rocket.Chat` import: one channel for each
//! source, one thread for each conversation, one file for each day on which conversations began.
//!
//! Memory grows with the number of people.

use std::collections::BTreeMap;

use chatark_core::{ArchivedConversation, Contact, Part, Result, Role, Timestamp};
use chatark_target::{FieldOutcome, FieldRule, LossReport};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::converter::{Converter, FileItem};
use crate::hex;
use crate::person_keys::own_key;

/// Users by id, and channels by source with the time of their first conversation.
#[derive(Default)]
pub(super) struct Slack {
    users: BTreeMap<String, User>,
    channels: BTreeMap<String, Timestamp>,
}

struct User {
    name: String,
    email: Option<String>,
    is_bot: bool,
}

const RULES: &[FieldRule] = &[
    ("conversation.title", FieldOutcome::Kept, "as the first line of the thread"),
    ("conversation.created_at", FieldOutcome::Kept, "as the time of the thread"),
    ("contact.name", FieldOutcome::Approximated, "of the user: the first known value"),
    ("contact.email", FieldOutcome::Approximated, "of the user: the first known value"),
    ("message.role.user", FieldOutcome::Kept, "as a user"),
    ("message.role.assistant", FieldOutcome::Kept, "as a bot user with the name of the source"),
    ("message.role.human_agent", FieldOutcome::Approximated, "as one user for all human agents"),
    ("message.role.*", FieldOutcome::Approximated, "as a bot user"),
    ("message.created_at", FieldOutcome::Kept, ""),
    ("part.text", FieldOutcome::Kept, "as `text`"),
    ("part.image", FieldOutcome::Approximated, "as its URL"),
    ("part.file", FieldOutcome::Approximated, "as its URL"),
    ("part.audio", FieldOutcome::Approximated, "as its URL"),
];
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const AFTER_PREVIOUS: &str = "as one microsecond after the previous message";

impl Converter for Slack {
    fn convert(
        &mut self,
        archived: &ArchivedConversation,
        loss_report: &mut LossReport,
    ) -> Result<Vec<FileItem>> {
        let conversation = &archived.conversation;
        let Some(began) = conversation.created_at else {
            loss_report.add_left_out("it has no time, and the format requires one", archived);
            return Ok(Vec::new());
        };
        loss_report.add_fields(RULES, archived);
        let source = archived.origin.source.to_string();
        let first = self.channels.entry(source.clone()).or_insert(began);
        *first = (*first).min(began);
        let day = began.day();
        let offset = offset(archived);
        // The title comes before all messages of the same second.
        let thread = slack_time(with_offset(began, offset) - MICROSECONDS_PER_SECOND);
        let opener = self.user(archived, None);
        if conversation.contact != Contact::default() {
            self.user(archived, Some(Role::User));
        }
        let title = conversation.title.clone().unwrap_or_else(|| format!("Conversation {}", conversation.id));
        let message_count = conversation.messages.len();
        let mut posts = vec![json!({
            "type": "message", "user": opener, "text": escaped(&title), "ts": thread, "thread_ts": thread,
            "reply_count": message_count,
        })];
        let mut last = with_offset(began, offset) - MICROSECONDS_PER_SECOND;
        for message in &conversation.messages {
            let given = message.created_at.map(|at| with_offset(at, offset));
            let at = given.unwrap_or(last + 1).max(last + 1);
            last = at;
            let (outcome, why) = match given {
                Some(given) if given == at => {
                    (FieldOutcome::Kept, "as `ts`; microseconds make posts of one second distinct")
                }
                Some(_) => (
                    FieldOutcome::Approximated,
                    "as one microsecond after the previous message, which is not earlier",
                ),
                None => (FieldOutcome::Approximated, AFTER_PREVIOUS),
            };
            loss_report.add("message.created_at", outcome, why, 1, archived);
            let user = self.user(archived, Some(message.role));
            posts.push(json!({
                "type": "message", "user": user, "text": text(message), "ts": slack_time(at), "thread_ts": thread,
                "parent_user_id": opener,
            }));
        }
        Ok(vec![FileItem::Elements { path: format!("{source}/{day}.json"), values: posts }])
    }

    fn finish(self: Box<Self>, _: &mut LossReport) -> Vec<FileItem> {
        let members: Vec<_> = self.users.keys().cloned().collect();
        let user = |(id, user): (&String, &User)| {
            json!({
                "id": id, "name": id.to_lowercase(), "real_name": user.name, "is_bot": user.is_bot, "deleted": false,
                "profile": profile(user),
            })
        };
        let channel = |(name, first): (&String, &Timestamp)| {
            json!({
                "id": format!("C{}", short_id(name)), "name": name, "created": first.microseconds() / MICROSECONDS_PER_SECOND,
                "creator": members.first(), "is_archived": false, "is_general": false, "members": members,
                "topic": {"value": ""}, "purpose": {"value": format!("Conversations of {name}")},
            })
        };
        let users = self.users.iter().map(user).collect();
        let channels = self.channels.iter().map(channel).collect();
        vec![
            FileItem::Elements { path: "users.json".to_owned(), values: users },
            FileItem::Elements { path: "channels.json".to_owned(), values: channels },
        ]
    }
}

impl Slack {
    /// Returns the id of the user for a role, and adds the user if it is new. Without a role, it is the bot of the
    /// source, which opens the thread.
    fn user(&mut self, archived: &ArchivedConversation, role: Option<Role>) -> String {
        let source = &archived.origin.source;
        let contact = &archived.conversation.contact;
        let (key, name, email, is_bot) = match role.unwrap_or(Role::Assistant) {
            Role::User => match own_key(archived) {
                Some(key) => {
                    let name = contact.name.as_ref().or(contact.email.as_ref()).or(contact.phone.as_ref());
                    (key, name.cloned().unwrap_or_else(|| "Visitor".to_owned()), contact.email.clone(), false)
                }
                None => (format!("{source} visitor"), "Visitor".to_owned(), None, false),
            },
            Role::Assistant => (format!("{source} bot"), source.to_string(), None, true),
            Role::HumanAgent => (format!("{source} agent"), format!("{source} agent"), None, false),
            other => (format!("{source} {}", other.as_str()), other.as_str().to_owned(), None, true),
        };
        let id = format!("U{}", short_id(&key));
        self.users.entry(id.clone()).or_insert(User { name, email, is_bot });
        id
    }
}

/// Escapes the three control characters of Slack, so that no text becomes a mention or a link.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Returns the text of a message, and the URLs of its other parts.
fn text(message: &chatark_core::Message) -> String {
    let url = |part: &Part| match part {
        Part::Image { url } | Part::File { url, .. } | Part::Audio { url, .. } => url.clone(),
        _ => None,
    };
    let urls = message.parts.iter().filter_map(url);
    let lines: Vec<_> =
        Some(escaped(&message.text())).filter(|text| !text.is_empty()).into_iter().chain(urls).collect();
    lines.join("\n")
}

/// Returns a user's profile, without an e-mail address if there is none: importers fail on an empty one.
fn profile(user: &User) -> Value {
    let mut profile = json!({"real_name": user.name, "display_name": user.name});
    if let Some(email) = &user.email {
        profile["email"] = json!(email);
    }
    profile
}

/// Returns an offset in microseconds that tells the posts of a conversation from those of others in the same second:
/// within a channel, a post is identified by its time.
fn offset(archived: &ArchivedConversation) -> i64 {
    let hash = Sha256::digest(archived.conversation.id.as_str().as_bytes());
    i64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])) % 900_000
}

/// Returns a time in microseconds, with the offset added if it has no fraction of a second.
fn with_offset(at: Timestamp, offset: i64) -> i64 {
    let at = at.microseconds();
    if at % MICROSECONDS_PER_SECOND == 0 { at + offset } else { at }
}

/// Returns a time as Slack writes it: seconds and six decimals.
fn slack_time(microseconds: i64) -> String {
    format!(
        "{}.{:06}",
        microseconds.div_euclid(MICROSECONDS_PER_SECOND),
        microseconds.rem_euclid(MICROSECONDS_PER_SECOND)
    )
}

/// Returns ten letters and digits for a name, in the form of Slack's ids.
fn short_id(name: &str) -> String {
    hex(&Sha256::digest(name.as_bytes())[..5]).to_uppercase()
}
