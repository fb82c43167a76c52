//! The list of providers: one line for each vendor API.

use chatark_core::{Descriptor, Provider, Result, SettingProblem, Settings, Target};
use chatark_http::Connector;

/// What the command line needs of a provider crate.
pub(crate) struct Entry {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) validate: fn(&Settings) -> Vec<SettingProblem>,
    pub(crate) connect: fn(&Settings, Connector) -> Result<Box<dyn Provider>>,
    pub(crate) connect_target: fn(&Settings, Connector) -> Result<Box<dyn Target>>,
}

/// Declares the entry of a provider crate, all of which have the same functions.
macro_rules! entry {
    ($provider:ident) => {
        Entry {
            descriptor: &$provider::DESCRIPTOR,
            validate: $provider::validate,
            connect: $provider::connect,
            connect_target: $provider::connect_target,
        }
    };
}

pub(crate) const PROVIDERS: &[Entry] =
    &[entry!(chatark_chatbase_v1), entry!(chatark_chatbase_v2), entry!(chatark_convocore_v3)];

/// Returns the provider of a name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    PROVIDERS.iter().find(|entry| entry.descriptor.name == name)
}

/// Returns the names of all providers, quoted for a message.
pub(crate) fn names() -> String {
    let names: Vec<_> = PROVIDERS.iter().map(|entry| format!("`{}`", entry.descriptor.name)).collect();
    names.join(", ")
}
