//! The closed words of the open enums: every set ends in `other`, with the vendor's own word kept beside it.

use serde::{Serialize, Serializer};

/// Declares an enum whose variants have one fixed word each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the word that files and the archive hold.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Returns the value of a word that [`Self::as_str`] gave.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Who wrote a message.
    Role {
        /// The customer.
        User = "user",
        /// The bot.
        Assistant = "assistant",
        /// A person who answers in place of the bot.
        HumanAgent = "human_agent",
        /// The platform itself: a launch, an end, an instruction.
        System = "system",
        /// A tool that the bot called, where the vendor makes it a message of its own.
        Tool = "tool",
        /// A role that Chatark does not know; the vendor's word is kept.
        Other = "other",
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
        /// A mobile app that embeds the vendor's kit.
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
    /// The state of a conversation.
    Status {
        /// The bot is still answering.
        Ongoing = "ongoing",
        /// It is over.
        Ended = "ended",
        /// A person has taken over, or was asked to.
        TakenOver = "taken_over",
        /// The bot is paused.
        Paused = "paused",
        /// A state that Chatark does not know; the vendor's word is kept.
        Other = "other",
    }
}

words! {
    /// What a user thought of a message or a conversation.
    Feedback {
        /// Thumbs up.
        Positive = "positive",
        /// Thumbs down.
        Negative = "negative",
    }
}

impl Channel {
    /// Returns those of a vendor's words that mean this channel, joined by commas, or `None` where there are none.
    pub fn words_among(self, words: &[&str]) -> Option<String> {
        let ours: Vec<_> = words.iter().copied().filter(|word| Self::named(word) == Some(self)).collect();
        (!ours.is_empty()).then(|| ours.join(","))
    }

    /// Returns the channel that a vendor's word means: display names, spaces, case and hyphens aside.
    pub fn named(word: &str) -> Option<Self> {
        let plain: String =
            word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
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
    fn every_word_leads_back_to_its_value() {
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
            assert_eq!(Channel::named(word), Some(channel), "{word}");
        }
        assert_eq!(Channel::named("Carrier pigeon"), None);
        assert_eq!(Role::from_word("Assistant"), None);
        assert_eq!(Status::TakenOver.as_str(), "taken_over");
        assert_eq!(Feedback::from_word("positive"), Some(Feedback::Positive));
    }
}
