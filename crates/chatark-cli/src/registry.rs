//! The list of providers: one line for each vendor API.

use std::sync::Arc;

use chatark_core::{Descriptor, Error, ErrorKind, Mapper, Provider, Result, SettingProblem, Settings};
use chatark_http::Connector;
use chatark_target::Target;

/// A function that connects a source as a target.
pub(crate) type ConnectTarget = fn(&Settings, Connector) -> Result<Box<dyn Target>>;

/// A provider crate, as the command line uses it.
pub(crate) struct ProviderEntry {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) validate: fn(&Settings) -> Vec<SettingProblem>,
    pub(crate) mapper: fn(&Settings) -> Arc<dyn Mapper>,
    pub(crate) connect: fn(&Settings, Connector) -> Result<Box<dyn Provider>>,
    connect_target: Option<ConnectTarget>,
}

impl ProviderEntry {
    /// Returns the function that connects a source as a target. Fails for a provider that can only be read.
    pub(crate) fn connect_target(&self) -> Result<ConnectTarget> {
        self.connect_target.ok_or_else(|| {
            let message = format!("{} takes no data: it can only be read", self.descriptor.title);
            let writable = PROVIDERS.iter().filter(|entry| entry.connect_target.is_some());
            let hint = format!("choose a format, or a source of {}", quoted(writable));
            Error::new(ErrorKind::Usage, "choose the target", message).hint(hint)
        })
    }
}

/// Builds the entry of a provider crate, with the function that connects a target if the crate has one.
macro_rules! entry {
    ($provider:ident, $connect_target:expr) => {
        ProviderEntry {
            descriptor: &$provider::DESCRIPTOR,
            validate: $provider::validate,
            mapper: $provider::mapper,
            connect: $provider::connect,
            connect_target: $connect_target,
        }
    };
}

pub(crate) const PROVIDERS: &[ProviderEntry] = &[
    entry!(chatark_chatbase_v1, Some(chatark_chatbase_v1::connect_target)),
    entry!(chatark_chatbase_v2, Some(chatark_chatbase_v2::connect_target)),
    entry!(chatark_convocore_v3, Some(chatark_convocore_v3::connect_target)),
];

/// Returns the provider with this name.
pub(crate) fn find(name: &str) -> Option<&'static ProviderEntry> {
    PROVIDERS.iter().find(|entry| entry.descriptor.name == name)
}

/// Returns the names of all providers, quoted for a message.
pub(crate) fn names() -> String {
    quoted(PROVIDERS)
}

fn quoted<'a>(entries: impl IntoIterator<Item = &'a ProviderEntry>) -> String {
    let names: Vec<_> = entries.into_iter().map(|entry| format!("`{}`", entry.descriptor.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_without_a_target_cannot_be_written_into() {
        let read_only = entry!(chatark_chatbase_v1, None);
        let error = read_only.connect_target().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("Chatbase API v1 takes no data"), "{error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("`convocore-v3`")));
    }
}
