//! Which features the deployment of a source was found to support.

use chatark_core::{Features, Result, Timestamp};
use rusqlite::{Transaction, params};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::values::database_error;

/// For how long a finding is valid. Then the feature is tried again, because vendors update their deployments.
const VALID_SECONDS: i64 = 30 * 86_400;

impl Archive {
    /// Returns which features the deployment of a source was found to support, or not to support, in the last thirty days.
    pub fn features(&self, source: SourceKey, now: Timestamp) -> Result<Features> {
        let failed = || database_error("read what the deployment supports");
        let since = now.shifted(-VALID_SECONDS).unwrap_or(Timestamp::EARLIEST);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT feature, supported FROM deployment_feature
                 WHERE source_key = ?1 AND found_at BETWEEN ?2 AND ?3",
            )
            .map_err(failed())?;
        let span = params![source.0, since.microseconds(), now.microseconds()];
        let mut rows = statement.query(span).map_err(failed())?;
        let mut features = Features::default();
        while let Some(row) = rows.next().map_err(failed())? {
            features.set(row.get::<_, String>(0).map_err(failed())?, row.get(1).map_err(failed())?);
        }
        Ok(features)
    }
}

/// Saves what a batch has shown. A finding that is known already keeps its date, so that the feature is tried again in time.
pub(crate) fn save(
    transaction: &Transaction<'_>,
    source: SourceKey,
    features: &Features,
    now: Timestamp,
) -> Result<()> {
    for (feature, supported) in features.iter() {
        transaction
            .prepare_cached(
                "INSERT INTO deployment_feature (source_key, feature, supported, found_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET supported = ?3, found_at = ?4
                     WHERE supported <> ?3 OR found_at NOT BETWEEN ?4 - ?5 AND ?4",
            )
            .and_then(|mut statement| {
                let valid = VALID_SECONDS * 1_000_000;
                statement.execute(params![source.0, feature, supported, now.microseconds(), valid])
            })
            .map_err(database_error("write what the deployment supports"))?;
    }
    Ok(())
}
