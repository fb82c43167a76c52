//! The fixed words of the model: channels, roles, statuses, kinds of author, feedback.
//!
//! Where vendors may send more than the model knows, the set has `other`, and the vendor's own word is kept beside it.

/// Declares an enum with one fixed word for each variant.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the word used in files and in the archive.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Returns the value with a word from [`Self::as_str`].
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// The role of a message.
    Role {
        /// The customer.
        User = "user",
        /// The bot.
        Assistant = "assistant",
        /// A person who answers in place of the bot.
        HumanAgent = "human_agent",
        /// The platform itself: a launch, an end, an instruction.
        System = "system",
        /// A tool that the bot called, if the vendor shows it as a separate message.
        Tool = "tool",
        /// A role that Chatark does not know; the vendor's word is kept.
        Other = "other",
    }
}

words! {
    /// The kind of author who wrote a message.
    AuthorKind {
        /// The customer.
        Customer = "customer",
        /// The bot.
        Bot = "bot",
        /// A person of the team.
        Agent = "agent",
        /// The platform itself.
        System = "system",
        /// A tool that the bot called.
        Tool = "tool",
    }
}

impl Role {
    /// Returns the kind of author that follows from the role, or `None` for [`Role::Other`].
    pub const fn author_kind(self) -> Option<AuthorKind> {
        match self {
            Self::User => Some(AuthorKind::Customer),
            Self::Assistant => Some(AuthorKind::Bot),
            Self::HumanAgent => Some(AuthorKind::Agent),
            Self::System => Some(AuthorKind::System),
            Self::Tool => Some(AuthorKind::Tool),
            Self::Other => None,
        }
    }
}

words! {
    /// Where a conversation took place.
    Channel {
        /// The vendor's API.
        Api = "api",
        /// A widget, frame or hosted page on the web.
        Website = "website",
        /// WhatsApp.
        WhatsApp = "whatsapp",
        /// Facebook Messenger.
        Messenger = "messenger",
        /// Instagram.
        Instagram = "instagram",
        /// Slack.
        Slack = "slack",
        /// E-mail.
        Email = "email",
        /// A phone call.
        Phone = "phone",
        /// SMS.
        Sms = "sms",
        /// Telegram.
        Telegram = "telegram",
        /// Discord.
        Discord = "discord",
        /// The vendor's own test chat.
        Playground = "playground",
        /// Zendesk, its messaging included.
        Zendesk = "zendesk",
        /// Salesforce.
        Salesforce = "salesforce",
        /// A mobile app with the vendor's SDK.
        Mobile = "mobile",
        /// Google Business Messages.
        GoogleBusiness = "google-business",
        /// Zoho.
        Zoho = "zoho",
        /// A channel that Chatark does not know; the vendor's word is kept.
        Other = "other",
    }
}

words! {
    /// The status of a conversation.
    Status {
        /// The bot is still answering.
        Ongoing = "ongoing",
        /// It is over.
        Ended = "ended",
        /// A person has taken over, or has been asked to.
        TakenOver = "taken_over",
        /// The bot is paused.
        Paused = "paused",
        /// A status that Chatark does not know; the vendor's word is kept.
        Other = "other",
    }
}

words! {
    /// A customer's feedback on a message or a conversation.
    Feedback {
        /// Thumbs up.
        Positive = "positive",
        /// Thumbs down.
        Negative = "negative",
    }
}

impl Channel {
    /// Returns those of a vendor's words that mean this channel, joined by commas, or `None` if there are none.
    pub fn vendor_words(self, words: &[&str]) -> Option<String> {
        let matching: Vec<_> =
            words.iter().copied().filter(|word| Self::from_vendor_word(word) == Some(self)).collect();
        (!matching.is_empty()).then(|| matching.join(","))
    }

    /// Returns the channel that a vendor's word means; case, spaces and hyphens do not matter.
    pub fn from_vendor_word(word: &str) -> Option<Self> {
        let mut plain = String::with_capacity(word.len());
        for letter in word.chars().filter(|letter| letter.is_alphanumeric()) {
            if letter.is_ascii() {
                plain.push(letter.to_ascii_lowercase());
            } else {
                plain.extend(letter.to_lowercase());
            }
        }
        let found = match plain.as_str() {
            "widgetoriframe" | "iframe" | "widget" | "chatbasesite" | "agentpage" | "centerstage"
            | "search" | "webchat" | "web" | "text" => Self::Website,
            "actionpreview" | "qnapreview" => Self::Playground,
            "zendeskmessaging" => Self::Zendesk,
            "androidsdk" | "iossdk" => Self::Mobile,
            "voice" | "telephony" | "vapi" => Self::Phone,
            "facebook" => Self::Messenger,
            "outlook" => Self::Email,
            "gbchat" => Self::GoogleBusiness,
            "other" => return None,
            other => {
                return Self::ALL.iter().copied().find(|channel| channel.as_str().replace('-', "") == other);
            }
        };
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_by_our_words_and_by_the_vendors() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_word(channel.as_str()), Some(*channel));
        }
        for (word, channel) in [
            ("Widget or Iframe", Channel::Website),
            ("WhatsApp", Channel::WhatsApp),
            ("Zendesk Messaging", Channel::Zendesk),
            ("web-chat", Channel::Website),
            ("gb-chat", Channel::GoogleBusiness),
            ("API", Channel::Api),
        ] {
            assert_eq!(Channel::from_vendor_word(word), Some(channel), "{word}");
        }
        assert_eq!(Channel::from_vendor_word("Carrier pigeon"), None);
        assert_eq!(Role::from_word("Assistant"), None);
        assert_eq!(Status::TakenOver.as_str(), "taken_over");
        assert_eq!(Feedback::from_word("positive"), Some(Feedback::Positive));
    }
}
