//! What commands share: the config, the selected sources and their connections, the archive, and the runtime.

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use chatark_archive::{Archive, Upgrade};
use chatark_core::{Clock, Error, ErrorKind, Origin, Result, SourceName};
use chatark_engine::{MappedSource, Source};
use chatark_http::{Budget, BudgetLimits, Connector, RateLimiters, SecretString};
use chatark_target::Target;
use tokio::runtime::{Builder, Runtime};

use crate::args::GlobalArgs;
use crate::config::{self, Config, ConfigError, LoadError, SourceConfig};
use crate::ui::{Ui, format_bytes};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error, which may have a hint.
    Error(Error),
    /// A config with mistakes.
    Config(ConfigError),
    /// Standard output could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The config of a command, and what all its sources share: the clock, the rate limiters and the budget.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    rate_limiters: Arc<RateLimiters>,
    budget: Arc<Budget>,
}

impl Session {
    /// Finds and reads the config.
    pub(crate) fn open(global: &GlobalArgs) -> Result<Self, Failure> {
        let path = config::find(global.config.as_deref())?;
        Self::open_at(&path)
    }

    /// Reads the config at a path.
    pub(crate) fn open_at(path: &Path) -> Result<Self, Failure> {
        let config = config::load(path).map_err(|error| match error {
            LoadError::Unreadable(error) => Failure::Error(error),
            LoadError::Mistakes(mistakes) => Failure::Config(mistakes),
        })?;
        Ok(Self { config, clock: Clock::system(), rate_limiters: Arc::default(), budget: Arc::default() })
    }

    /// Sets the budget of all sources together. Its time begins now.
    pub(crate) fn set_budget(&mut self, limits: BudgetLimits) {
        self.budget = Arc::new(Budget::new(limits));
    }

    /// Returns the sources of these names, or all sources if there are no names. The error lists every unknown name.
    pub(crate) fn select_sources(&self, names: &[String]) -> Result<Vec<&SourceConfig>> {
        let known: Vec<_> = self.config.sources.iter().map(|source| source.name.as_str()).collect();
        let unknown: Vec<_> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown.iter().map(|name| format!("`{name}`")).collect();
            return Err(Error::new(
                ErrorKind::Usage,
                "choose the sources",
                format!("the config has no source {}", unknown.join(", ")),
            )
            .with("config", self.config.path.display())
            .hint(format!("its sources are {}", known.join(", "))));
        }
        let is_named = |source: &&SourceConfig| {
            names.is_empty() || names.iter().any(|name| name == source.name.as_str())
        };
        let chosen: Vec<_> = self.config.sources.iter().filter(is_named).collect();
        if chosen.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "choose the sources", "the config has none")
                .hint("add a `[[source]]` table to the config"));
        }
        Ok(chosen)
    }

    /// Connects sources with their keys. If keys are missing, all of them are reported.
    pub(crate) fn connect_sources(&self, chosen: &[&SourceConfig], ui: &Ui) -> Result<Vec<Source>> {
        let mut keys = Vec::new();
        let mut missing = Vec::new();
        for source in chosen {
            if let Some(warning) = source.key.permission_warning() {
                ui.warn(&format!("{}: {warning}", source.name));
            }
            match source.key.resolve() {
                Ok(key) => keys.push(key),
                Err(error) => missing.push((source, error)),
            }
        }
        if let Some((last, error)) = missing.pop() {
            for (source, error) in &missing {
                ui.error(
                    &Error::new(ErrorKind::Usage, "fetch the key", error.message())
                        .with("source", &source.name),
                    false,
                );
            }
            return Err(error.with("source", &last.name));
        }
        chosen.iter().zip(keys).map(|(source, key)| self.connect_source(source, key, ui)).collect()
    }

    /// Connects a source as a target, with its key.
    pub(crate) fn connect_target(&self, source: &SourceConfig, ui: &Ui) -> Result<Arc<dyn Target>> {
        let connect = source.provider.connect_target()?;
        if let Some(warning) = source.key.permission_warning() {
            ui.warn(&format!("{}: {warning}", source.name));
        }
        let key = source.key.resolve().map_err(|error| error.with("source", &source.name))?;
        Ok(connect(&source.settings, self.connector(source, key, ui))?.into())
    }

    /// Connects a source as a target for a plan, which needs no key and makes no request.
    pub(crate) fn connect_target_offline(&self, source: &SourceConfig, ui: &Ui) -> Result<Arc<dyn Target>> {
        let connect = source.provider.connect_target()?;
        let connector = self.connector(source, SecretString::default(), ui);
        Ok(connect(&source.settings, connector)?.into())
    }

    fn connector(&self, source: &SourceConfig, key: SecretString, ui: &Ui) -> Connector {
        Connector {
            rate_limiters: Arc::clone(&self.rate_limiters),
            budget: Arc::clone(&self.budget),
            policy: self.config.policy,
            observer: Arc::new(ui.clone()),
            ..Connector::new(source.name.to_string(), key)
        }
    }

    fn connect_source(&self, source: &SourceConfig, key: SecretString, ui: &Ui) -> Result<Source> {
        let provider = (source.provider.connect)(&source.settings, self.connector(source, key, ui))?;
        let SourceConfig { refresh, drift, contacts, .. } = *source;
        Ok(Source {
            origin: Arc::new(origin(source)),
            provider: provider.into(),
            mapper: (source.provider.mapper)(&source.settings),
            refresh,
            drift,
            contacts,
        })
    }

    /// Opens the archive for reading and writing. Creates a missing one, and upgrades one of an older layout.
    pub(crate) fn open_archive(&self, ui: &Ui) -> Result<Archive> {
        self.announce_upgrade(ui)?;
        Archive::open(&self.config.archive, self.clock.now())
    }

    /// Opens the archive for reading, and upgrades one of an older layout first. Fails if it is missing.
    pub(crate) fn open_archive_to_read(&self, ui: &Ui) -> Result<Archive> {
        if self.announce_upgrade(ui)? {
            Archive::open(&self.config.archive, self.clock.now())?.close()?;
        }
        Archive::open_to_read(&self.config.archive)
    }

    /// Prints that the archive will be upgraded and how much space that takes. Returns whether it needs an upgrade.
    fn announce_upgrade(&self, ui: &Ui) -> Result<bool> {
        let Some(Upgrade { from, to, needs, free }) = Archive::pending_upgrade(&self.config.archive)? else {
            return Ok(false);
        };
        let free = free.map_or_else(String::new, |free| format!(", {} are free", format_bytes(free)));
        ui.info(&format!(
            "upgrading the archive from layout {from} to {to}: takes up to {} of disk{free}",
            format_bytes(needs)
        ));
        Ok(true)
    }
}

/// Returns sources with their mappers, for commands that contact no vendor and need no key.
pub(crate) fn mapped_sources(chosen: &[&SourceConfig]) -> Vec<MappedSource> {
    let mapped = |source: &&SourceConfig| MappedSource {
        origin: Arc::new(origin(source)),
        mapper: (source.provider.mapper)(&source.settings),
    };
    chosen.iter().map(mapped).collect()
}

/// Returns the origin of a source's records.
fn origin(source: &SourceConfig) -> Origin {
    Origin {
        source: source.name.clone(),
        provider: source.provider.descriptor.name.to_owned(),
        agent_id: source.settings.text("agent_id").unwrap_or_default(),
    }
}

/// Returns the names of sources.
pub(crate) fn names(chosen: &[&SourceConfig]) -> Vec<SourceName> {
    chosen.iter().map(|source| source.name.clone()).collect()
}

/// Returns the asynchronous runtime. Its blocking threads are one for each core, and one that writes to the archive.
///
/// More threads are no faster, and each keeps freed memory for itself.
pub(crate) fn runtime() -> Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .max_blocking_threads(cores + 1)
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Unexpected, "start the runtime", error))
}

/// Returns the error for a failed write to standard output.
pub(crate) fn output_error(error: &io::Error) -> Error {
    Error::new(ErrorKind::Storage, "write to standard output", error)
}
