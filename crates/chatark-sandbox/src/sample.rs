//! The sample conversations: one small shop, as each vendor would store it.
//!
//! The stories are the same for all vendors, with ids and channels that the vendor could have given. Each vendor also has
//! its own edge cases.

use serde_json::{Value, json};

use crate::stories::{self, lookup_message, text_message};
use crate::truth::{Channel, Content, Conversation, Feedback, Message, Role, Status, ToolStatus, Vendor};

/// When the newest sample conversation began: 20 November 2026, 16:00 UTC.
const NEWEST: i64 = 1_795_190_400;

/// The distance between sample conversations: a little more than three days.
const STEP: i64 = 277_200;

/// Returns the sample conversations of the shop as this vendor would store them.
pub(crate) fn conversations(vendor: Vendor) -> Vec<Conversation> {
    let mut conversations = stories::all();
    conversations.extend(common_edge_cases(vendor));
    conversations.extend(match vendor {
        Vendor::ChatbaseV1 => chatbase_v1_edge_cases(),
        Vendor::ChatbaseV2 => chatbase_v2_edge_cases(),
        Vendor::ConvocoreV3 => convocore_edge_cases(),
    });
    let mut created_at = NEWEST;
    let mut finished = Vec::with_capacity(conversations.len());
    for (place, mut conversation) in conversations.into_iter().enumerate() {
        let number = i64::try_from(place).unwrap_or(0);
        // Two conversations begin in the same second.
        if place != 7 {
            created_at -= STEP + 61 * number;
        }
        conversation.varied |= place % 6 == 4;
        set_times(&mut conversation, created_at);
        adapt_to_vendor(&mut conversation, place, vendor);
        finished.push(conversation);
    }
    finished
}

/// Sets the times of a conversation and its messages. Until then, a message has the number of seconds by which it is
/// later than usual.
fn set_times(conversation: &mut Conversation, created_at: i64) {
    let mut last = created_at;
    for (position, message) in conversation.messages.iter_mut().enumerate() {
        let elapsed = 31 * i64::try_from(position).unwrap_or(0);
        message.created_at = message.created_at.map(|delay| created_at + elapsed + delay);
        last = message.created_at.unwrap_or(last);
    }
    conversation.created_at = created_at;
    conversation.updated_at = last;
}

/// Gives the conversation an id and a channel of this vendor.
fn adapt_to_vendor(conversation: &mut Conversation, place: usize, vendor: Vendor) {
    if conversation.id.is_empty() {
        conversation.id = id_of_vendor(place, conversation.channel, vendor);
    }
    match vendor {
        Vendor::ChatbaseV1 | Vendor::ChatbaseV2 => {
            conversation.past_sessions.clear();
            if conversation.channel.chatbase_name() == Some("Unspecified")
                && conversation.channel != Channel::Unspecified
            {
                conversation.channel = Channel::WhatsApp;
            }
            for (position, message) in conversation.messages.iter_mut().enumerate() {
                // The first API gives the greeting no id, and the second gives every message one.
                let is_greeting = position == 0 && message.role == Role::Assistant;
                if message.id.is_none() && !(is_greeting && vendor == Vendor::ChatbaseV1) {
                    message.id = Some(format!("msg_{place:02}_{position:03}"));
                }
            }
        }
        Vendor::ConvocoreV3 => {
            if conversation.channel.convocore_name().is_none() && conversation.channel != Channel::Missing {
                conversation.channel = Channel::Telegram;
            }
            // This vendor rarely gives a status.
            let is_usual = matches!(conversation.status, Some(Status::Ongoing | Status::Ended));
            if is_usual && place % 4 != 1 {
                conversation.status = None;
            }
        }
    }
}

/// Returns an id in the format that the vendor uses for the channel.
fn id_of_vendor(place: usize, channel: Channel, vendor: Vendor) -> String {
    // Multiplying by a large odd number makes the ids look unrelated.
    let mixed = (place + 11) * 0x9e37_79b1;
    match (vendor, channel) {
        (Vendor::ConvocoreV3, Channel::Messenger | Channel::Facebook | Channel::Instagram) => {
            format!("27986{:012}", mixed % 1_000_000_000_000)
        }
        (Vendor::ConvocoreV3, Channel::Telegram) => format!("69{:08}", mixed % 100_000_000),
        (Vendor::ConvocoreV3, Channel::Phone | Channel::Telephony | Channel::Sms) => {
            format!("+1555{:07}", mixed % 10_000_000)
        }
        (Vendor::ConvocoreV3, _) => format!("DL{:09X}k{place:02}", mixed % 0xf_ffff_ffff),
        (Vendor::ChatbaseV1 | Vendor::ChatbaseV2, _) => {
            format!("{:08x}-e5f6-4a7b-8c9d-{:012x}", mixed & 0xffff_ffff, mixed & 0xffff_ffff_ffff)
        }
    }
}

/// Conversations with unusual contents, which all vendors have.
fn common_edge_cases(vendor: Vendor) -> Vec<Conversation> {
    let long_question = "Please read all of it: ".to_owned()
        + &"the lamp flickers, the box was open, and the manual is missing. 💡 ".repeat(300);
    let mut cases = vec![
        // No messages.
        Conversation {
            channel: Channel::WhatsApp,
            status: Some(Status::Paused),
            title: Some("Store hours".to_owned()),
            ..Conversation::default()
        },
        // Only the greeting, without a reply.
        dialogue(Channel::Website, &[("assistant", "Hi! What can I help you with?")]),
        dialogue(
            Channel::Website,
            &[("user", &long_question), ("assistant", "Thank you, a colleague will read it.")],
        ),
        dialogue(
            Channel::Email,
            &[
                ("user", "=1+1\n@SUM(A1:A9)\n-2\n+49 30 5550100\n=HYPERLINK(\"https://shop.example.com\")"),
                ("assistant", "-39,90 €, as agreed."),
                ("user", "\t=cmd"),
            ],
        ),
        dialogue(
            Channel::Website,
            &[
                (
                    "user",
                    "He said \"it's broken\", 'again', \\ and left.\r\nSecond line\r\n\r\nFourth, with, commas;\tand a tab",
                ),
                (
                    "assistant",
                    "I see: \u{201c}broken\u{201d}.\n\n- box\n- lamp, 2 pcs\n\n| a | b |\n|---|---|\n| 1 | 2 |",
                ),
                ("user", "\n leading and trailing \n"),
            ],
        ),
        dialogue(
            Channel::WhatsApp,
            &[
                ("user", "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪 e\u{301} \u{200b}zero width, \u{202e}turned\u{202c}, \u{feff}mark"),
                ("assistant", "👨‍🚀🚀 \u{1f9d1}\u{200d}\u{1f4bb} ✅"),
            ],
        ),
        dialogue(
            Channel::Website,
            &[
                ("user", "<script>alert('hi')</script> & <b>bold</b> {{name}} ${PATH} %s \u{0}\u{1b}[31m"),
                ("assistant", "]]> --> \u{2028}\u{2029} null undefined NaN"),
            ],
        ),
        long_conversation(),
    ];
    for (at, id) in ["wa_15550100_1789980000", "a/b+c%20d&e=f?#~", "__proto__"].into_iter().enumerate() {
        let mut odd = dialogue(
            Channel::Api,
            &[("user", "Cancel my plan, please."), ("assistant", "Done: it ends this month.")],
        );
        odd.id = String::from(id);
        odd.contact.id = Some(format!("shop-user.{at}"));
        cases.push(odd);
    }
    if vendor == Vendor::ChatbaseV2 {
        cases.extend(one_users_conversations());
    }
    cases
}

/// A conversation of 120 messages.
fn long_conversation() -> Conversation {
    let mut long = Conversation {
        title: Some("Setting up the radio, step by step".to_owned()),
        status: Some(Status::Ended),
        ..Conversation::default()
    };
    for step in 1..=60 {
        let question = format!("Step {step} is done, and now?");
        let answer = format!("Good. Step {}: turn the dial to {}.", step + 1, 87 + step % 21);
        long.messages.push(text_message(Role::User, &question));
        long.messages.push(text_message(Role::Assistant, &answer));
    }
    long
}

/// Several API conversations of one signed-in person.
fn one_users_conversations() -> Vec<Conversation> {
    let topics = ["my invoice", "my address", "my newsletter"];
    let of_topic = |topic: &&str| {
        let question = format!("I would like to change {topic}.");
        let mut conversation = dialogue(Channel::Api, &[("user", &question), ("assistant", "That is done.")]);
        conversation.contact.id = Some("shop-user.0".to_owned());
        conversation.title = Some(format!("Changing {topic}"));
        conversation.messages.insert(1, lookup_message(ToolStatus::Success));
        conversation
    };
    topics.iter().map(of_topic).collect()
}

fn chatbase_v1_edge_cases() -> Vec<Conversation> {
    let mut contents = dialogue(Channel::Frame, &[("user", "Do you have this lamp?")]);
    for data in [
        json!({ "type": "image", "url": "https://cdn.example.com/lamp.png" }),
        json!(["lamp", 2, null]),
        json!(42),
    ] {
        contents.messages.push(unknown_message(Role::User, "content", data));
    }
    let mut blocks = text_message(Role::Assistant, "Yes, we do.");
    blocks.content.push(Content::Text("It costs 39.90.".to_owned()));
    contents.messages.push(blocks);

    let mut id_only = dialogue(Channel::Api, &[("user", "Is my account active?")]);
    id_only.contact.id = Some("shop-user.77".to_owned());
    id_only.varied = true;
    let mut email_only = dialogue(Channel::Website, &[("user", "Please write to me.")]);
    email_only.contact.email = Some("mail.only@example.com".to_owned());
    email_only.varied = true;
    let mut conversations = vec![contents, id_only, email_only];
    conversations.extend(
        [
            Channel::Api,
            Channel::VendorSite,
            Channel::Instagram,
            Channel::Messenger,
            Channel::Slack,
            Channel::WhatsApp,
            Channel::Playground,
            Channel::ActionPreview,
            Channel::Unspecified,
        ]
        .map(question_in_channel),
    );
    conversations
}

fn chatbase_v2_edge_cases() -> Vec<Conversation> {
    let mut tools = dialogue(Channel::Api, &[("user", "Book me a call and cancel my plan.")]);
    tools.contact.id = Some("shop-user.5".to_owned());
    for status in [ToolStatus::Success, ToolStatus::Error, ToolStatus::Pending, ToolStatus::Ignored] {
        tools.messages.push(lookup_message(status));
    }
    tools.status = Some(Status::TakenOver);
    tools.varied = true;

    let mut without_parts = dialogue(Channel::Missing, &[("assistant", "Hello?")]);
    without_parts.messages.push(Message { role: Role::User, created_at: Some(0), ..Message::default() });
    let strange = json!({ "depth": 3, "label": "north" });
    without_parts.messages.push(unknown_message(Role::Assistant, "hologram", strange));

    let mut timeless =
        dialogue(Channel::Slack, &[("assistant", "Hi!"), ("user", "Price?"), ("assistant", "From 10 €.")]);
    for message in &mut timeless.messages {
        message.created_at = None;
    }
    timeless.varied = true;
    let mut conversations = vec![tools, without_parts, timeless];
    conversations.extend(
        [
            Channel::Playground,
            Channel::ActionPreview,
            Channel::QuestionPreview,
            Channel::Zendesk,
            Channel::ZendeskMessaging,
            Channel::Salesforce,
            Channel::AndroidSdk,
            Channel::IosSdk,
            Channel::CenterStage,
            Channel::Search,
            Channel::AgentPage,
            Channel::Phone,
            Channel::Unspecified,
        ]
        .map(question_in_channel),
    );
    conversations
}

fn convocore_edge_cases() -> Vec<Conversation> {
    let mut conversations = vec![every_message_type(), returning_visitor(), voice_notes()];
    conversations.extend(
        [
            Channel::Frame,
            Channel::Voice,
            Channel::Telephony,
            Channel::Phone,
            Channel::Facebook,
            Channel::Discord,
            Channel::Sms,
            Channel::Outlook,
            Channel::Zoho,
            Channel::GoogleBusiness,
            Channel::Search,
            Channel::Missing,
        ]
        .map(question_in_channel),
    );
    let mut asked_for_human = question_in_channel(Channel::Website);
    asked_for_human.status = Some(Status::Paused);
    conversations.push(asked_for_human);
    conversations
}

/// Every documented type of message, with the payload that the vendor really sends.
fn every_message_type() -> Conversation {
    let image = "https://cdn.example.com/lamp.png";
    let link = json!({ "url": image });
    let with_message = |text: &str| json!({ "message": text });
    let buttons = json!([{ "name": "Red" }, { "name": "Blue" }]);
    let field = json!({ "id": "size", "type": "text", "label": "Size" });
    let frame = json!({ "layout": "vertical", "url": "https://shop.example.com/map" });
    let kinds: Vec<(Role, &str, Value)> = vec![
        (Role::User, "launch", json!({})),
        (Role::User, "GetBrowserData", json!({ "lang": "de" })),
        (Role::Assistant, "MultiSelect", buttons.clone()),
        (Role::Assistant, "MultiDropdown", json!({ "buttons": buttons })),
        (Role::Assistant, "Slider", json!({ "min": 1, "max": 9 })),
        (Role::Assistant, "Embed", frame.clone()),
        (Role::Assistant, "iFrame", frame),
        (Role::Assistant, "location", json!({ "lat": 52.5, "lng": 13.4 })),
        (Role::User, "FileUpload", link.clone()),
        (Role::User, "MultiFileUpload", json!({ "url": image, "count": 1 })),
        (Role::User, "Attachment", link),
        (Role::User, "GoogleForm", json!({ "formId": "shop" })),
        // This type has no payload.
        (Role::User, "EmailForm", Value::Null),
        (Role::Assistant, "input", json!({ "field": field })),
        (Role::Assistant, "ui_engine_form", json!({ "fields": [field] })),
        (Role::Assistant, "ui_engine_input", json!({ "field": field })),
        (Role::User, "context:form_submission", json!({ "size": "XL" })),
        (Role::Assistant, "SetConvoData", json!({ "tags": ["vip"] })),
        (Role::Assistant, "SetRuntime", json!({})),
        (Role::Assistant, "VGVF_Channel", json!("web")),
        (Role::Assistant, "VFVG_Channel", json!("web")),
        (Role::Assistant, "VG_Response", json!({ "ok": true })),
        (Role::Assistant, "no-reply", Value::Null),
        (Role::Assistant, "knowledgeBase", with_message("3 documents")),
        (Role::Assistant, "jsx", json!("<Card/>")),
        (Role::Assistant, "Flowise", json!({})),
        (Role::Assistant, "stealth", with_message("hidden")),
        (Role::Assistant, "browser_capture", json!({ "image": image })),
        (Role::Assistant, "debug", with_message("node __start__")),
        (Role::Assistant, "debug:success", with_message("saved")),
        (Role::Assistant, "debug:error", with_message("timeout")),
        // This type is a plain string.
        (Role::Assistant, "info:primary", json!("A colleague has joined.")),
        (Role::Assistant, "info:danger", with_message("The upload failed.")),
        (Role::Assistant, "hologram", json!([1, 2, 3])),
    ];
    let mut conversation = dialogue(Channel::Website, &[("user", "Show me everything.")]);
    for (role, kind, data) in kinds {
        conversation.messages.push(unknown_message(role, kind, data));
    }
    conversation.messages.push(Message {
        role: Role::Assistant,
        created_at: Some(0),
        content: rich_contents(image),
        ..Message::default()
    });
    conversation.messages.push(Message {
        id: Some("wamid.HBgLMTU1NTAxMDA".to_owned()),
        feedback: Some(Feedback::Positive),
        ..text_message(Role::Assistant, "That was everything.")
    });
    conversation.messages.push(text_message(Role::System, "The conversation was archived."));
    conversation.messages.push(event_message(Role::Assistant, "end"));
    conversation
}

fn rich_contents(image: &str) -> Vec<Content> {
    let card = |title: &str, options: &[&str]| Content::Card {
        title: title.to_owned(),
        text: Some("900 lumens.".to_owned()),
        image_url: Some(image.to_owned()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    let picture = || Content::Image { url: image.to_owned() };
    vec![
        Content::Debug { text: "Tool started: recommend_products".to_owned() },
        Content::ToolCall {
            id: "call_rich".to_owned(),
            name: "recommend_products".to_owned(),
            input: json!({ "room": "study" }),
        },
        Content::ToolResult {
            id: "call_rich".to_owned(),
            name: "recommend_products".to_owned(),
            status: ToolStatus::Success,
            data: Some(json!([
                { "title": "Aurora, the desk lamp with a dimmer", "price": 39.9 },
                { "title": "Boreal, the floor lamp", "price": 89 },
            ])),
            error: None,
        },
        Content::Text("Two lamps that suit a desk:".to_owned()),
        picture(),
        picture(),
        card("**Aurora**", &["Buy"]),
        Content::Choice { options: vec!["Cheaper".to_owned(), "Brighter".to_owned()] },
        card("**Aurora**", &["Buy"]),
        card("**Boreal**", &[]),
        Content::Form {
            title: Some("Your details".to_owned()),
            fields: vec![("Name".to_owned(), Some("Ada Example".to_owned())), ("Company".to_owned(), None)],
        },
        Content::File {
            url: "https://cdn.example.com/manual.pdf".to_owned(),
            name: Some("manual.pdf".to_owned()),
        },
        Content::Notice { level: "success".to_owned(), text: "Successfully submitted".to_owned() },
    ]
}

/// A visitor who returned twice: past sessions and the current one.
fn returning_visitor() -> Conversation {
    let mut conversation = dialogue(
        Channel::Website,
        &[
            ("user", "Hello, do you ship to Austria?"),
            ("assistant", "Yes, within four days."),
            ("user", "I am back. And to Switzerland?"),
            ("assistant", "There too, duties are on top."),
            ("assistant", "Shall I work them out?"),
            ("user", "Ordered, thanks!"),
            ("assistant", "Thank **you**."),
            ("assistant", "Here is your receipt."),
        ],
    );
    conversation.past_sessions = vec![2, 3];
    conversation.messages[1].feedback = Some(Feedback::Negative);
    conversation.contact.name = Some("Hanna Beispiel".to_owned());
    conversation.varied = true;
    conversation.tags = vec!["returning".to_owned(), "good example".to_owned()];
    conversation
}

/// Voice notes with and without a transcript, and pictures from the customer.
fn voice_notes() -> Conversation {
    let mut conversation = dialogue(Channel::WhatsApp, &[("user", "Listen, please:")]);
    let recordings = [None, Some("My lamp is humming.".to_owned())];
    for transcript in recordings {
        conversation.messages.push(Message {
            role: Role::User,
            created_at: Some(0),
            content: vec![Content::Audio { url: "https://cdn.example.com/a.ogg".to_owned(), transcript }],
            ..Message::default()
        });
    }
    conversation.messages.push(Message {
        role: Role::User,
        created_at: Some(0),
        content: vec![Content::Image { url: "https://cdn.example.com/a.png".to_owned() }],
        ..Message::default()
    });
    conversation.messages.push(Message {
        created_at: None,
        ..text_message(Role::Assistant, "That is the transformer; we send a new one.")
    });
    conversation.messages.push(text_message(Role::User, "Great!"));
    conversation
}

/// The same short question in any channel.
fn question_in_channel(channel: Channel) -> Conversation {
    let mut conversation = dialogue(
        channel,
        &[("user", "Are you open on Sunday?"), ("assistant", "No, but online you can order at any time.")],
    );
    conversation.title = Some("Opening hours".to_owned());
    conversation
}

fn dialogue(channel: Channel, lines: &[(&str, &str)]) -> Conversation {
    let messages = lines.iter().map(|&(speaker, text)| {
        let role = if speaker == "user" { Role::User } else { Role::Assistant };
        text_message(role, text)
    });
    Conversation { channel, messages: messages.collect(), ..Conversation::default() }
}

fn event_message(role: Role, kind: &str) -> Message {
    Message {
        role,
        created_at: Some(0),
        content: vec![Content::Event { kind: kind.to_owned() }],
        ..Message::default()
    }
}

fn unknown_message(role: Role, kind: &str, data: Value) -> Message {
    Message {
        role,
        created_at: Some(0),
        content: vec![Content::Unknown { kind: kind.to_owned(), data }],
        ..Message::default()
    }
}
