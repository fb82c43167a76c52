//! The folder that files are written into.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use chatark_core::Result;

use crate::failure::storage_error;
use crate::output;

/// The output folder. If it was created and is dropped before [`OutputFolder::keep`], it is removed.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    path: PathBuf,
    /// The folders that were created, innermost first.
    created: Vec<PathBuf>,
}

impl OutputFolder {
    /// Opens a folder, and removes temporary files that killed processes have left in it. A missing folder is created
    /// with its parents, readable only by the user.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let created = path.ancestors().take_while(missing).map(Path::to_owned).collect();
        let folder = Self { path: path.to_owned(), created };
        private_builder()
            .create(path)
            .map_err(|error| storage_error("create the output folder".to_owned(), path, error))?;
        output::remove_abandoned(path);
        Ok(folder)
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the entries of the folder to disk, and keeps the folder.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.created.clear();
        sync(&self.path)
            .map_err(|error| storage_error("write the output folder".to_owned(), &self.path, error))
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        for folder in &self.created {
            // A folder that is no longer empty cannot be removed, and stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn private_builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    match fs::File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder; the files themselves are on disk.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}
