//! A migration that would write nothing is an error.

use chatark_core::{Error, ErrorKind, Result};

/// Fails if a migration has no items, and says whether any conversation was selected.
pub fn refuse_empty(conversations: u64, items: u64) -> Result<()> {
    let (message, hint) = match (conversations, items) {
        (0, 0) => (
            "no conversation of the archive is selected".to_owned(),
            "check the sources and the filters, or run `chatark pull` first",
        ),
        (selected, 0) => (
            format!("the target takes nothing of the {selected} selected conversations"),
            "`chatark migrate plan` with the same arguments shows why",
        ),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Usage, "migrate", message).hint(hint))
}
