//! Generated conversations: deterministic, computed on demand.

use std::ops::Range;

use serde_json::json;

use crate::truth::{
    Channel, Contact, Content, Conversation, Feedback, Message, Role, Status, ToolStatus, Vendor,
};

/// The settings of generated conversations.
///
/// The same settings always give the same conversations. Each is computed independently: the
/// millionth costs as much as the first.
#[derive(Debug, Clone)]
pub struct GeneratorSettings {
    /// The seed of the pseudo-random data.
    pub seed: u64,
    /// How many conversations there are.
    pub conversations: usize,
    /// How many messages a conversation has on average.
    pub messages_per_conversation: usize,
    /// When the newest conversation began, in epoch seconds.
    pub newest: i64,
    /// The average time between two conversations, in seconds.
    pub step_seconds: i64,
    /// In every n-th conversation, the customer writes nothing; `None` if there is no such conversation.
    pub silent_every: Option<usize>,
}

/// Computes one vendor's conversations from the settings.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    settings: GeneratorSettings,
    channels: &'static [Channel],
}

impl Default for GeneratorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            conversations: 10_000,
            messages_per_conversation: 11,
            // 21 September 2026.
            newest: 1_790_000_000,
            step_seconds: 60,
            silent_every: None,
        }
    }
}

/// Channels repeat in this order, so that filtered counts can be computed directly.
const CHATBASE_CHANNELS: [Channel; 16] = [
    Channel::Website,
    Channel::WhatsApp,
    Channel::Api,
    Channel::Website,
    Channel::Instagram,
    Channel::Website,
    Channel::Messenger,
    Channel::Website,
    Channel::Email,
    Channel::Website,
    Channel::WhatsApp,
    Channel::Frame,
    Channel::Website,
    Channel::Slack,
    Channel::Website,
    Channel::Playground,
];

const CONVOCORE_CHANNELS: [Channel; 16] = [
    Channel::Website,
    Channel::WhatsApp,
    Channel::Website,
    Channel::Telegram,
    Channel::Instagram,
    Channel::Website,
    Channel::Messenger,
    Channel::Voice,
    Channel::Website,
    Channel::WhatsApp,
    Channel::Website,
    Channel::Email,
    Channel::Website,
    Channel::Slack,
    Channel::Website,
    Channel::Discord,
];

/// How many API conversations in a row belong to one user.
const CONVERSATIONS_PER_USER: usize = 8;

/// The minimum distance between two conversations in seconds, which keeps their order strict.
const MIN_STEP: i64 = 2;

impl Generator {
    pub(crate) fn new(vendor: Vendor, settings: GeneratorSettings) -> Self {
        let channels = match vendor {
            Vendor::ChatbaseV1 | Vendor::ChatbaseV2 => &CHATBASE_CHANNELS,
            Vendor::ConvocoreV3 => &CONVOCORE_CHANNELS,
        };
        Self { settings, channels }
    }

    pub(crate) fn len(&self) -> usize {
        self.settings.conversations
    }

    pub(crate) fn created_at(&self, index: usize) -> i64 {
        let step = self.settings.step_seconds.max(MIN_STEP);
        let jitter = self.random(index, 1).below_seconds(step);
        self.settings.newest - to_seconds(index) * step - jitter
    }

    /// Returns a realistic id that ends in the index of the conversation.
    pub(crate) fn id(&self, index: usize) -> String {
        format!("{}{index:012x}", self.id_prefix())
    }

    pub(crate) fn index_of(&self, id: &str) -> Option<usize> {
        let digits = id.strip_prefix(&self.id_prefix())?;
        let index = usize::from_str_radix(digits, 16).ok()?;
        (index < self.settings.conversations && self.id(index) == id).then_some(index)
    }

    fn id_prefix(&self) -> String {
        let mixed = mix(self.settings.seed);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-",
            mixed & 0xffff_ffff,
            (mixed >> 32) & 0xffff,
            (mixed >> 48) & 0xfff,
            (mixed >> 20) & 0xfff
        )
    }

    pub(crate) fn channel(&self, index: usize) -> Channel {
        self.channels[index % self.channels.len()]
    }

    pub(crate) fn count(&self, range: Range<usize>, passes: impl Fn(Channel) -> bool) -> usize {
        let period = self.channels.len();
        let per_period = self.channels.iter().filter(|&&held| passes(held)).count();
        let tail = range.start + range.len() / period * period;
        let in_tail = (tail..range.end).filter(|&index| passes(self.channel(index))).count();
        range.len() / period * per_period + in_tail
    }

    pub(crate) fn api_conversations_of(&self, user: &str) -> Vec<usize> {
        let api_place = self.channels.iter().position(|&held| held == Channel::Api);
        let number = user.strip_prefix("user-").and_then(|digits| digits.parse::<usize>().ok());
        let (Some(api_place), Some(number)) = (api_place, number) else {
            return Vec::new();
        };
        let first = number.saturating_mul(CONVERSATIONS_PER_USER);
        (first..first.saturating_add(CONVERSATIONS_PER_USER))
            .map(|nth| nth.saturating_mul(self.channels.len()) + api_place)
            .filter(|&index| index < self.settings.conversations)
            .collect()
    }

    /// Returns the conversation at an index, 0 being the newest.
    pub(crate) fn conversation(&self, index: usize) -> Conversation {
        let mut random = self.random(index, 2);
        let created_at = self.created_at(index);
        let channel = self.channel(index);
        let topic = &TOPICS[random.below(TOPICS.len())];
        let messages = self.messages(index, topic, created_at, &mut random);
        let last_message_at = messages.iter().rev().find_map(|message| message.created_at);
        Conversation {
            id: self.id(index),
            title: (!random.one_in(6)).then(|| topic.title.to_owned()),
            channel,
            status: Some(match random.below(8) {
                0 | 1 => Status::Ongoing,
                2 => Status::TakenOver,
                _ => Status::Ended,
            }),
            created_at,
            updated_at: last_message_at.unwrap_or(created_at),
            contact: self.contact(index, channel, &mut random),
            tags: if random.one_in(4) { vec![topic.tag.to_owned()] } else { Vec::new() },
            feedback: match random.below(10) {
                0 => Some(Feedback::Positive),
                1 => Some(Feedback::Negative),
                _ => None,
            },
            country: Some(COUNTRIES[random.below(COUNTRIES.len())].to_owned()),
            messages,
            ..Conversation::default()
        }
    }

    fn contact(&self, index: usize, channel: Channel, random: &mut Random) -> Contact {
        let user = index / self.channels.len() / CONVERSATIONS_PER_USER;
        let id = (channel == Channel::Api).then(|| format!("user-{user}"));
        if !random.one_in(3) {
            return Contact { id, ..Contact::default() };
        }
        let first = FIRST_NAMES[random.below(FIRST_NAMES.len())];
        let last = LAST_NAMES[random.below(LAST_NAMES.len())];
        Contact {
            id,
            name: Some(format!("{first} {last}")),
            email: Some(format!("{}.{}.{index}@example.com", first.to_lowercase(), last.to_lowercase())),
            phone: Some(format!("+1555{:07}", random.below(10_000_000))),
            ..Contact::default()
        }
    }

    fn messages(&self, index: usize, topic: &Topic, created_at: i64, random: &mut Random) -> Vec<Message> {
        let average = self.settings.messages_per_conversation;
        let spread = average / 2;
        let count = average - spread + random.below(2 * spread + 1);
        let is_silent =
            self.settings.silent_every.is_some_and(|every| every > 0 && index % every == every - 1);
        let mut now = created_at;
        (0..if is_silent { 1 } else { count })
            .map(|position| {
                // The greeting comes first, then customer and assistant alternate.
                let is_answer = position % 2 == 0;
                let mut message = if is_answer {
                    answer(index, position, topic, random)
                } else {
                    Message::text(Role::User, topic.question(random))
                };
                message.created_at = Some(now);
                message.id = Some(format!("msg_{index:x}_{position:02}"));
                now += 2 + random.below_seconds(if is_answer { 90 } else { 8 });
                message
            })
            .collect()
    }

    fn random(&self, index: usize, purpose: u64) -> Random {
        let place = u64::try_from(index).unwrap_or(u64::MAX);
        Random(mix(mix(self.settings.seed ^ (purpose << 56)) ^ place))
    }
}

fn answer(index: usize, position: usize, topic: &Topic, random: &mut Random) -> Message {
    if position == 0 {
        return Message::text(Role::Assistant, "Hi! What can I help you with?");
    }
    let mut message = Message::text(Role::Assistant, topic.answer(index, random));
    if random.one_in(6) {
        let id = format!("call_{index:x}_{position}");
        let (call, result) = tool_use(id, index, topic, random);
        message.content.splice(0..0, [call, result]);
    }
    message.score = Some(random.score());
    message.feedback = match random.below(12) {
        0 => Some(Feedback::Positive),
        1 => Some(Feedback::Negative),
        _ => None,
    };
    message
}

fn tool_use(id: String, index: usize, topic: &Topic, random: &mut Random) -> (Content, Content) {
    let call = Content::ToolCall {
        id: id.clone(),
        name: topic.tool.to_owned(),
        input: json!({ "orderId": order_number(index) }),
    };
    let is_error = random.one_in(8);
    let result = Content::ToolResult {
        id,
        name: topic.tool.to_owned(),
        status: if is_error { ToolStatus::Error } else { ToolStatus::Success },
        data: (!is_error).then(|| json!({ "orderId": order_number(index), "state": "in_transit" })),
        error: is_error.then(|| "the order service did not answer".to_owned()),
    };
    (call, result)
}

fn order_number(index: usize) -> String {
    format!("{}", 1000 + index % 90_000)
}

fn to_seconds(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A generator of pseudo-random numbers that is the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn below_seconds(&mut self, bound: i64) -> i64 {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        i64::try_from(self.next() % bound).unwrap_or(0)
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// Returns a number between 0 and 1 with two digits, as vendors round it.
    fn score(&mut self) -> f64 {
        self.below(101) as f64 / 100.0
    }
}

/// Mixes the bits of a number so that neighbours look unrelated (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The topics of generated conversations.
struct Topic {
    title: &'static str,
    tag: &'static str,
    tool: &'static str,
    questions: [&'static str; 4],
    answers: [&'static str; 4],
}

impl Topic {
    fn question(&self, random: &mut Random) -> String {
        let first = self.questions[random.below(self.questions.len())];
        if random.one_in(4) {
            return format!("{first} {}", CLOSINGS[random.below(CLOSINGS.len())]);
        }
        first.to_owned()
    }

    fn answer(&self, index: usize, random: &mut Random) -> String {
        let first = self.answers[random.below(self.answers.len())];
        let second = EXTRAS[random.below(EXTRAS.len())];
        format!("{first} {second} (#{})", order_number(index))
    }
}

const TOPICS: [Topic; 5] = [
    Topic {
        title: "Order not delivered",
        tag: "delivery",
        tool: "lookup_order",
        questions: [
            "Where is my order? It should have been here on Tuesday.",
            "Wo bleibt meine Bestellung? Sie sollte schon am Dienstag da sein.",
            "The tracking page has said \"in transit\" for four days now.",
            "¿Dónde está mi pedido? Tenía que llegar el martes.",
        ],
        answers: [
            "Your parcel left our warehouse and is with the carrier now.",
            "The carrier reports a short delay at the sorting centre near you.",
            "Dein Paket ist unterwegs und kommt voraussichtlich morgen an.",
            "I have asked the carrier to look for the parcel and to call you.",
        ],
    },
    Topic {
        title: "Return and refund",
        tag: "refund",
        tool: "create_return",
        questions: [
            "The kettle arrived with a dent, can I send it back?",
            "How long does the refund take once you have the parcel?",
            "Ich möchte die Lampe zurückgeben, sie passt nicht.",
            "返金はいつごろ届きますか。",
        ],
        answers: [
            "You can return it within 30 days, and the label is free of charge.",
            "Refunds are paid back to the card you used within three to five working days.",
            "Das Rücksendeetikett findest du in deinem Konto unter *Bestellungen*.",
            "I have opened the return for you; the label is in your inbox.",
        ],
    },
    Topic {
        title: "Opening hours",
        tag: "shop",
        tool: "store_hours",
        questions: [
            "Are you open on Sunday?",
            "你们周日营业吗?",
            "Is there parking next to the shop in Springfield?",
            "Until when can I pick up my parcel today?",
        ],
        answers: [
            "The shop is open from 9 am to 7 pm, Monday to Saturday.",
            "On Sundays we are closed, but orders placed online are packed anyway.",
            "There are twelve parking spaces behind the building, free for one hour.",
            "Parcels can be picked up until half an hour before we close.",
        ],
    },
    Topic {
        title: "Invoice and payment",
        tag: "billing",
        tool: "find_invoice",
        questions: [
            "I need an invoice with our company's address, please.",
            "My card was charged twice, -39.90 and -39.90.",
            "هل يمكنني الدفع عند الاستلام؟",
            "Can we pay by bank transfer?",
        ],
        answers: [
            "The invoice is attached to your order and can be changed for 14 days.",
            "One of the two charges is a reservation that disappears within two days.",
            "Yes, bank transfer works; the goods leave as soon as the money is here.",
            "I have sent the corrected invoice to the address on file.",
        ],
    },
    Topic {
        title: "Product question",
        tag: "advice",
        tool: "recommend_products",
        questions: [
            "Which lamp is bright enough for a desk of two metres?",
            "Does the backpack fit under an aeroplane seat? 🎒",
            "Is the blue one the same size as the green one?",
            "האם המוצר מתאים לילדים?",
        ],
        answers: [
            "The *Aurora* gives 900 lumens and can be dimmed, which suits a large desk.",
            "It measures 40 × 30 × 20 cm and fits under the seat of most airlines.",
            "Both have the same measurements; only the colour of the lining differs.",
            "It is made for children from six years on and has no small parts.",
        ],
    },
];

const CLOSINGS: [&str; 4] = ["Thanks!", "Danke schön.", "It is a present.", "🙏"];

const EXTRAS: [&str; 5] = [
    "You will get an e-mail as soon as something changes, and you can always write to us here, day or night, in the language that you like best.",
    "If that does not help, I can hand you over to a colleague, who answers within the hour on working days.",
    "Is there anything else that I can do for you today? Our colleagues in the shop are glad to help as well.",
    "Here is what I found:\n- standard: 3–5 days\n- express: next day, at an extra charge of 4.90\n- pick-up in the shop: today from 4 pm, free of charge",
    "Sollte etwas fehlen, schreib uns einfach noch einmal; wir melden uns spätestens am nächsten Werktag bei dir, versprochen.",
];

const COUNTRIES: [&str; 6] = ["DE", "US", "ES", "JP", "AE", "IL"];

const FIRST_NAMES: [&str; 8] = ["Ada", "Ben", "Carla", "Daichi", "Elif", "Farid", "Grace", "Hanna"];

const LAST_NAMES: [&str; 6] = ["Example", "Muster", "Prueba", "Sample", "Tester", "Demo"];
