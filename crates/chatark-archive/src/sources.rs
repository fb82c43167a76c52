//! The sources that an archive holds.

use chatark_core::{Error, ErrorKind, Origin, Result, SourceName};
use rusqlite::{OptionalExtension, params};

use crate::archive::Archive;
use crate::keys::SourceKey;
use crate::values::database_error;

impl Archive {
    /// Returns the key of a source, and registers it if the archive does not have it. Its name must not belong to another
    /// agent.
    pub fn register_source(&mut self, origin: &Origin) -> Result<SourceKey> {
        if let Some(key) = self.find_source(origin)? {
            return Ok(key);
        }
        let row = params![origin.source.as_str(), origin.provider, origin.agent_id];
        self.connection
            .execute("INSERT INTO source (name, provider, agent_id) VALUES (?1, ?2, ?3)", row)
            .map_err(database_error("register a source"))?;
        Ok(SourceKey(self.connection.last_insert_rowid()))
    }

    /// Returns the key of a source; `None` if the archive does not have it. Its name must not belong to another agent.
    pub fn find_source(&self, origin: &Origin) -> Result<Option<SourceKey>> {
        let failed = database_error("look up a source");
        let name = origin.source.as_str();
        let found: Option<(i64, String, String)> = self
            .connection
            .query_row("SELECT source_key, provider, agent_id FROM source WHERE name = ?1", [name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
            .map_err(&failed)?;
        match found {
            Some((key, provider, agent)) if provider == origin.provider && agent == origin.agent_id => {
                Ok(Some(SourceKey(key)))
            }
            Some((_, provider, agent)) => Err(Error::new(
                ErrorKind::Usage,
                "register a source",
                format!("the archive holds another agent under this name: {agent} of {provider}"),
            )
            .with("source", name)
            .hint("give the source a new name in the config, or use another archive")),
            None => Ok(None),
        }
    }

    /// Returns the archived sources of these names, or all if none is named, sorted by name.
    pub fn sources(&self, names: &[SourceName]) -> Result<Vec<(SourceKey, Origin)>> {
        let failed = database_error("read the sources");
        let mut statement = self
            .connection
            .prepare_cached("SELECT source_key, name, provider, agent_id FROM source ORDER BY name")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok((SourceKey(row.get(0)?), row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(&failed)?;
        let mut sources = Vec::new();
        for row in rows {
            let (key, name, provider, agent_id) = row.map_err(&failed)?;
            let source = SourceName::new(name)?;
            if names.is_empty() || names.contains(&source) {
                sources.push((key, Origin { source, provider, agent_id }));
            }
        }
        Ok(sources)
    }
}
