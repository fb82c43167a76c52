//! The envelopes of Chatbase v1. The records inside are read field by field in `map`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The names that `filteredSources` takes in the vendor's documents. The set is open.
pub(crate) const CHANNEL_NAMES: &[&str] = &[
    "API",
    "Chatbase site",
    "Instagram",
    "Messenger",
    "Slack",
    "Unspecified",
    "WhatsApp",
    "Widget or Iframe",
    "Playground",
    "Action preview",
];

/// The envelope of a page of conversations. It says neither how many there are nor whether more follow.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    /// Present, and emptied, if the vendor sent an array.
    pub(crate) data: Option<Vec<Value>>,
}

/// A page of contacts, of which only ids and e-mail addresses are read.
#[derive(Debug, Deserialize)]
pub(crate) struct ContactIdsPage {
    pub(crate) data: Vec<ContactIds>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
}

/// The response to a write. The vendor does not document whether it repeats what was written.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Acknowledged {
    #[serde(default)]
    data: Value,
}

/// The ids of a contact, the vendor's and that of other systems, and the e-mail address.
#[derive(Debug, Deserialize)]
pub(crate) struct ContactIds {
    #[serde(default)]
    pub(crate) id: Value,
    #[serde(default)]
    pub(crate) external_id: Value,
    #[serde(default)]
    pub(crate) email: Value,
}

impl ContactIds {
    /// Returns the e-mail address, in lower case.
    pub(crate) fn email(&self) -> Option<String> {
        let email = self.email.as_str().map(|email| email.trim().to_lowercase());
        email.filter(|email| !email.is_empty())
    }

    pub(crate) fn id(&self) -> Option<String> {
        self.id.as_str().map(str::to_owned)
    }

    pub(crate) fn external_id(&self) -> Option<String> {
        self.external_id.as_str().map(str::to_owned)
    }
}

impl Acknowledged {
    /// Returns the vendor's id of a contact that was written.
    pub(crate) fn id_of(&self, external_id: &str) -> Option<String> {
        let contacts = self.data.as_array()?;
        let written = contacts.iter().find(|contact| contact["external_id"] == external_id)?;
        written["id"].as_str().map(str::to_owned)
    }
}

/// The envelope of a page of contacts.
#[derive(Debug, Deserialize)]
pub(crate) struct Contacts {
    /// Present, and emptied, if the vendor sent an array.
    pub(crate) data: Option<Vec<Value>>,
    /// How many contacts the agent has.
    #[serde(default)]
    pub(crate) total: Option<Value>,
}

/// The envelope of a page of leads.
#[derive(Debug, Deserialize)]
pub(crate) struct Leads<'a> {
    /// An emptied array, or an object that holds the leads.
    #[serde(rename = "collectedCustomers", borrow, default)]
    pub(crate) customers: Option<&'a RawValue>,
}

/// The object in which a client of April 2026 found the leads.
#[derive(Debug, Deserialize)]
pub(crate) struct LeadData<'a> {
    #[serde(borrow, default)]
    pub(crate) data: Option<Vec<&'a RawValue>>,
}

/// An error response.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<FailureBody>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FailureBody {
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// The page at which a walk resumes, as a resume token stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedPage {
    /// The next page, counted from 1.
    pub(crate) page: u64,
}
