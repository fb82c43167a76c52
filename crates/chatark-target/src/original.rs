//! The original of a conversation: a copy that a migration has created names its original in its note.

use chatark_core::{ArchivedConversation, Origin};

/// What precedes the name of the original in the note of a copy, on a line of its own.
pub const COPY_NOTE_PREFIX: &str = "Migrated by Chatark: ";

/// Returns the name of the original from the note of a copy, whatever people have added to the note since.
pub fn original_in(note: &str) -> Option<&str> {
    note.lines().rev().find_map(|line| line.strip_prefix(COPY_NOTE_PREFIX))
}

/// The provider, the agent and the id of a conversation, or of its original if it is a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    name: String,
    is_copy: bool,
}

impl Original {
    /// Returns the original of an archived conversation: usually the conversation itself.
    pub fn of(archived: &ArchivedConversation) -> Self {
        let Origin { provider, agent_id, .. } = &*archived.origin;
        let own = || format!("{provider} / {agent_id} / {}", archived.conversation.id);
        let noted = archived.conversation.notes.as_deref().and_then(original_in);
        let name = noted.map_or_else(own, str::to_owned).replace(char::is_control, " ");
        Self { name, is_copy: noted.is_some() }
    }

    /// Returns provider, agent and id on one line: `chatbase-v2 / agent1 / c1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns agent and id without the provider, because an agent may be read through two APIs of its vendor.
    pub fn agent_and_id(&self) -> &str {
        self.name.split_once(" / ").map_or(&self.name, |(_, agent_and_id)| agent_and_id)
    }

    /// Returns whether the conversation is a copy.
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Returns whether the conversation is a copy of one of this agent.
    pub fn is_copy_of_agent(&self, agent_id: &str) -> bool {
        self.is_copy && self.name.split(" / ").nth(1) == Some(agent_id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chatark_core::{Conversation, ConversationId, SourceName};

    use super::*;

    fn original(notes: Option<&str>) -> Original {
        let origin = Origin {
            source: SourceName::new("shop").unwrap(),
            provider: "chatbase-v2".to_owned(),
            agent_id: "agent1".to_owned(),
        };
        let notes = notes.map(str::to_owned);
        let conversation = Conversation { notes, ..Conversation::empty(ConversationId::new("c1")) };
        Original::of(&ArchivedConversation { origin: Arc::new(origin), conversation })
    }

    #[test]
    fn the_original_is_found_in_a_note_with_later_additions() {
        assert_eq!(original_in("x\nMigrated by Chatark: a / b / c\nand more"), Some("a / b / c"));
        assert_eq!(original_in("Migrated by Chatark: old\nMigrated by Chatark: new"), Some("new"));
        assert_eq!(original_in("see Migrated by Chatark: a"), None);
    }

    #[test]
    fn a_conversation_without_a_migration_note_is_its_own_original() {
        let own = original(Some("calls back"));
        assert_eq!((own.name(), own.agent_and_id()), ("chatbase-v2 / agent1 / c1", "agent1 / c1"));
        assert!(!own.is_copy() && !own.is_copy_of_agent("agent1"));
    }

    #[test]
    fn a_copy_has_the_name_of_its_original_on_one_line() {
        let copy = original(Some("Migrated by Chatark: chatbase-v1 / shop\t1 / c7"));
        assert_eq!((copy.name(), copy.agent_and_id()), ("chatbase-v1 / shop 1 / c7", "shop 1 / c7"));
        assert!(copy.is_copy() && copy.is_copy_of_agent("shop 1") && !copy.is_copy_of_agent("agent1"));
    }
}
